"""Rows that travel as JSON arrive as they are, or not at all."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import DataError

from ajo.database.bulk import insert
from ajo.soroban.models import ContractEvent, UndecodedEntry

pytestmark = pytest.mark.django_db

ROW: dict[str, Any] = {
    "id": "0000000000000000001-0000000000",
    "type": "created",
    "is_system": False,
    "group_id": 2**63 - 1,
    "round": None,
    "data": {"amount": "1", "words": 'a "quoted" café, {braces}, \\ and \n', "open": True},
    "topics": ("AAAA", "BBBB"),
    "value": "",
    "tx_hash": "0" * 64,
    "ledger": 1,
    "created_at": datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC),
}


def test_a_row_arrives_as_it_is_and_once() -> None:
    other = ROW | {"id": "0000000000000000002-0000000000", "data": None}
    insert(ContractEvent, [ROW, other])
    insert(ContractEvent, [ROW | {"type": "joined"}, other])
    assert list(ContractEvent.objects.order_by("id").values()) == [
        each | {"topics": ["AAAA", "BBBB"]} for each in (ROW, other)
    ]
    assert ContractEvent.objects.filter(data__isnull=True).count() == 1  # SQL's null, not JSON's


def test_a_row_that_is_there_has_the_named_columns_written() -> None:
    row = {"key": "k", "group_id": 1, "xdr": "old", "error": "e", "ledger": 1}
    insert(UndecodedEntry, [row])
    insert(UndecodedEntry, [row | {"xdr": "new", "ledger": 2}], unique=["key"], update=["xdr"])
    assert UndecodedEntry.objects.values("key", "xdr", "ledger").get() == {"key": "k", "xdr": "new", "ledger": 1}


def test_a_value_that_is_too_long_is_refused_and_not_cut_off() -> None:
    with pytest.raises(DataError):
        insert(ContractEvent, [ROW | {"tx_hash": "0" * 65}])
