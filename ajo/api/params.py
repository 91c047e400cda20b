"""Parse what paths and queries hold: ids, addresses, hashes, ledgers, times, in one exact form each.

The `parse_…` functions raise Django's ValidationError, as form fields do (ajo/api/filters.py). `path_…` are for what a
path names: they raise a 400, and cache.Absent (404) for a number that is too large for any group.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final, TypeVar

from django.core.exceptions import ValidationError
from stellar_sdk import MuxedAccount, StrKey

from ajo.api.problems import invalid
from ajo.cache import Absent
from ajo.soroban.fields import U32_MAX

T = TypeVar("T")

TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", re.ASCII)
DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
GROUP_ID: Final = re.compile(r"[1-9][0-9]*", re.ASCII)
HASH: Final = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
INTEGER: Final = re.compile(r"-?[0-9]{1,40}", re.ASCII)
BIGINT_MAX: Final = 2**63 - 1  # ids are bigints in the tables
MAX_IDS: Final = 200  # as many as a page has rows
NO_GROUP: Final = 0  # a number that no group has: the contract counts from 1 (docs/chain.md §1)

# "strkey" is a format of ours, for what no pattern says: the checksum at the end
ADDRESS_SCHEMA: Final = {"type": "string", "format": "strkey", "pattern": "^[GC][A-Z2-7]{55}$"}
ACCOUNT_SCHEMA: Final = ADDRESS_SCHEMA | {"pattern": "^G[A-Z2-7]{55}$"}
HASH_SCHEMA: Final = {"type": "string", "pattern": "^[0-9a-fA-F]{64}$"}
ID_SCHEMA: Final = {"type": "string", "pattern": "^[1-9][0-9]*$"}
MOMENT_SCHEMA: Final = {
    "type": "string",
    "anyOf": [{"format": "date"}, {"format": "date-time"}],
    "example": "2026-10-01",
}
U32_SCHEMA: Final = {"type": "integer", "minimum": 0, "maximum": U32_MAX}


def one_of(choices: Iterable[object]) -> str:
    """Return the message for a value that is none of these."""
    return f"Expected one of: {', '.join(map(str, choices))}."


def parse_group_id(text: str) -> int:
    """Parse a group's number. Return NO_GROUP where it is larger than any. Raise ValidationError if it is none."""
    if not GROUP_ID.fullmatch(text):
        raise ValidationError("A group id is a whole number from 1, in ASCII digits.")
    return int(text) if len(text) < 20 and int(text) <= BIGINT_MAX else NO_GROUP


def parse_group_ids(text: str) -> list[int]:
    """Parse group numbers that commas separate, at most MAX_IDS. One larger than any becomes NO_GROUP.

    Raise ValidationError.
    """
    parts = text.split(",")
    if len(parts) > MAX_IDS:
        raise ValidationError(f"At most {MAX_IDS} group ids are taken.")
    return [parse_group_id(part) for part in parts]  # never empty: an empty list would be taken for no filter


def parse_moment(text: str) -> datetime:
    """Parse an RFC 3339 time with its offset, or a date, which stands for its first moment in UTC.

    Raise ValidationError if it is neither.
    """
    return parse_time(f"{text}T00:00:00Z" if DATE.fullmatch(text) else text)


def parse_address(text: str) -> str:
    """Return the address itself if it is a G… or C… strkey.

    Raise ValidationError if not; for an M… address it names the G… account that it stands for.
    """
    if StrKey.is_valid_ed25519_public_key(text) or StrKey.is_valid_contract(text):
        return text
    if StrKey.is_valid_med25519_public_key(text):
        account = MuxedAccount.from_account(text).account_id
        raise ValidationError(f"A muxed address (M…) is no member of a group. Its account is {account}.")
    raise ValidationError("Not a Stellar address: a G… or C… strkey of 56 characters is expected.")


def parse_hash(text: str) -> str:
    """Parse a transaction hash; return it in lower case, as in the tables. Raise ValidationError if it is none."""
    if not HASH.fullmatch(text):
        raise ValidationError("A transaction hash is 64 hexadecimal digits.")
    return text.lower()


def parse_time(text: str) -> datetime:
    """Parse an RFC 3339 time with its offset; return it in UTC. Raise ValidationError if it is none."""
    try:
        if not TIME.fullmatch(text):
            raise ValueError
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValidationError("A time like 2026-01-31T12:00:00Z is expected.") from None


def parse_ledger(text: str) -> int:
    """Parse a ledger's sequence number, a u32 in ASCII digits. Raise ValidationError if it is none."""
    if not (text.isascii() and text.isdecimal()) or len(text) > 10 or int(text) > U32_MAX:
        raise ValidationError("A ledger number is expected.")
    return int(text)


def parse_integer(text: str, low: int, high: int) -> int:
    """Parse a whole number in ASCII digits from `low` to `high`. Raise ValidationError if it is none."""
    if not INTEGER.fullmatch(text) or not low <= int(text) <= high:
        raise ValidationError(f"A whole number from {low} to {high} is expected.")
    return int(text)


def parse_bool(text: str) -> bool:
    """Parse `true` or `false`. Raise ValidationError for anything else."""
    if text not in ("true", "false"):
        raise ValidationError("true or false is expected.")
    return text == "true"


def path_group_id(text: str) -> int:
    """Return the group's number in a path. Raise a 400, or Absent where it is larger than any."""
    group_id = checked("id", parse_group_id, text)
    if group_id == NO_GROUP:
        raise Absent("No group has a number this large.")
    return group_id


def path_address(text: str) -> str:
    """Return the address in a path. Raise a 400 if it is none."""
    return checked("address", parse_address, text)


def path_hash(text: str) -> str:
    """Return the transaction hash in a path, in lower case. Raise a 400 if it is none."""
    return checked("hash", parse_hash, text)


def checked(name: str, parse: Callable[[str], T], text: str) -> T:
    """Parse the value of the parameter `name`. Raise a 400 that names it."""
    try:
        return parse(text)
    except ValidationError as failure:
        raise invalid(**{name: str(failure.message)}) from None
