"""What paths name: exact forms, else 400; a number too large for any group is 404."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from django.core.exceptions import ValidationError

from ajo.api.fields import check_address
from ajo.api.filters import check_group_id, check_hash
from ajo.api.problems import invalid
from ajo.cache import Absent

T = TypeVar("T")


def group_id_of(text: str) -> int:
    group_id = _checked("id", check_group_id, text)
    if not group_id:
        raise Absent("No group has a number this large.")
    return group_id


def address_of(text: str) -> str:
    return _checked("address", check_address, text)


def hash_of(text: str) -> str:
    return _checked("hash", check_hash, text)


def _checked(name: str, check: Callable[[str], T], text: str) -> T:
    try:
        return check(text)
    except ValidationError as failure:
        raise invalid(**{name: str(failure.message)}) from None
