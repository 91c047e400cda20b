"""The forms of groups: exact at the ends of their types, null where no calendar holds a time."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from ajo.api.rendering import dump
from groups.bodies import fresh_body, group_bodies, prepared_body
from groups.models import Group, RefundRequest
from groups.queries import listed_groups
from groups.serializers import GroupDetailSerializer
from tests.support.factories import (
    API,
    START,
    U64,
    account,
    contract,
    make_checkpoint,
    make_group,
    make_token,
    make_user,
)

pytestmark = pytest.mark.django_db

FIELDS = [
    "id", "name", "description", "rules", "creator", "token_address", "token", "contribution_amount", "cycle_duration",
    "frequency", "grace_period", "penalty_rate", "insurance_rate_bps", "max_members", "member_count", "current_round",
    "payout_index", "contributions_received", "collected_amount", "payout_amount", "next_recipient", "status",
    "is_active", "created_at", "round_started_at", "round_ends_at", "grace_ends_at", "modified_ledger",
]  # fmt: skip


def body(number: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(group_bodies([number])[number].body or b"")
    return found


def test_a_group_has_every_field_of_the_form_and_its_members_in_payout_order() -> None:
    make_group(7, members=(1, 2, 3), paid=(2,), name="Savers", payout_index=1, current_round=2)
    shown = body(7)
    assert list(shown) == [*FIELDS, "members", "refund_request"]
    assert shown["id"] == "7"
    assert shown["frequency"] == 7
    assert (shown["collected_amount"], shown["payout_amount"]) == ("100", "300")
    assert shown["next_recipient"] == account(2)
    assert shown["token"] == {"symbol": "T1", "decimals": 7, "verified": False}
    assert shown["round_ends_at"] == "2026-01-08T00:00:00Z"
    assert shown["grace_ends_at"] == "2026-01-09T00:00:00Z"
    assert shown["refund_request"] is None
    assert shown["members"] == [
        {
            "address": account(number),
            "position": number - 1,
            "joined_at": "2026-01-01T00:00:00Z",
            "has_contributed": number == 2,
            "has_received_payout": number == 1,
        }
        for number in (1, 2, 3)
    ]


@pytest.mark.parametrize("amount", [2**127 - 1, -(2**127), 0])
def test_amounts_are_exact_at_the_ends_of_i128(amount: int) -> None:
    make_group(1, members=(1, 2, 3), paid=(1, 2), contribution_amount=amount)
    shown = body(1)
    assert shown["contribution_amount"] == str(amount)
    assert shown["collected_amount"] == str(2 * amount)
    assert shown["payout_amount"] == str(3 * amount)


def test_durations_that_no_calendar_holds_are_exact_and_their_times_null() -> None:
    make_group(1, cycle_duration=U64, grace_period=U64)
    shown = body(1)
    assert (shown["cycle_duration"], shown["grace_period"]) == (str(U64), str(U64))
    assert (shown["round_ends_at"], shown["grace_ends_at"], shown["frequency"]) == (None, None, None)


@pytest.mark.parametrize(
    ("seconds", "days"), [(1, 1), (86_400, 1), (86_401, 2), (86_400_000_000, 1_000_000), (86_400_000_001, None)]
)
def test_frequency_is_whole_days_rounded_up_up_to_a_million(seconds: int, days: int | None) -> None:
    make_group(1, cycle_duration=seconds)
    assert body(1)["frequency"] == days


def test_fields_that_an_older_contract_did_not_have_are_null() -> None:
    make_group(1, token=None, grace_period=None, penalty_rate=None, insurance_rate_bps=None)
    shown = body(1)
    older = ("token_address", "token", "grace_period", "penalty_rate", "insurance_rate_bps")
    assert [shown[field] for field in older] == [None] * 5
    assert shown["grace_ends_at"] == shown["round_ends_at"] == "2026-01-08T00:00:00Z"


def test_a_token_of_which_nothing_could_be_read_is_null_beside_its_address() -> None:
    make_group(1, token=make_token(9, symbol=None, decimals=None))
    shown = body(1)
    assert (shown["token"], shown["token_address"]) == (None, contract(9))


@pytest.mark.parametrize("status", ["completed", "cancelled"])
def test_only_an_active_group_has_a_next_recipient(status: str) -> None:
    make_group(1, status=status)
    shown = body(1)
    assert (shown["next_recipient"], shown["is_active"], shown["status"]) == (None, False, status)


def test_times_that_the_chain_gave_beyond_any_calendar_are_null() -> None:
    make_group(1, created_at=None, round_started_at=None)
    shown = body(1)
    times = ("created_at", "round_started_at", "round_ends_at", "grace_ends_at")
    assert [shown[field] for field in times] == [None] * 4


def test_the_refund_request_is_shown_where_there_is_one() -> None:
    group = make_group(1)
    RefundRequest.objects.create(
        group=group, requester=make_user(2), created_at=START, voting_deadline=None, votes_for=2, votes_against=1,
        executed=False, approved=True, entry_xdr="",
    )  # fmt: skip
    assert body(1)["refund_request"] == {
        "requester": account(2),
        "created_at": "2026-01-01T00:00:00Z",
        "voting_deadline": None,
        "votes_for": 2,
        "votes_against": 1,
        "executed": False,
        "approved": True,
    }


def test_texts_come_back_as_they_are_and_raw_entries_never() -> None:
    name = 'é"\\<script>\u2028😀\ufffd'
    make_group(1, name=name, entry_xdr="SECRETXDR")
    raw = group_bodies([1])[1].body or b""
    assert json.loads(raw)["name"] == name
    assert b"SECRETXDR" not in raw


def test_many_bodies_cost_one_query(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    for number in range(1, 6):
        make_group(number, members=(1, 2, 3))
    with django_assert_num_queries(1):
        found = group_bodies([1, 2, 3, 4, 5, 99])
    assert sorted(found) == [1, 2, 3, 4, 5]


def test_the_endpoint_serves_the_bodys_very_bytes(client: Client) -> None:
    make_checkpoint()
    make_group(7)
    first, second = client.get(f"{API}groups/7/"), client.get(f"{API}groups/7/")
    assert first.content == second.content == group_bodies([7])[7].body
    assert first["Content-Type"] == "application/json"
    assert first["Latest-Ledger"] == "1000"


def test_the_lists_form_is_the_details_without_its_parts(client: Client) -> None:
    make_checkpoint()
    make_group(7, members=(1, 2, 3), payout_index=2)
    detail = body(7)
    (listed,) = client.get(f"{API}groups/").json()["results"]
    assert listed == {field: detail[field] for field in FIELDS}
    assert Group.objects.count() == 1


def serialized(number: int) -> bytes:
    """What the serializer, which the schema describes, makes of the same rows."""
    group = listed_groups().get(pk=number)
    members = list(group.memberships.select_related("user").order_by("position"))
    for member in members:
        member.group = group
    vars(group)["member_list"] = members
    return dump(GroupDetailSerializer(group).data)


HOSTILE = (
    "".join(map(chr, range(1, 0x180)))
    + '\u2028\u2029\ud7ff\ue000\ufeff\ufffd\U0010ffff</script>{"a":1}\\u0000\'; --%s {}'
)
LATE = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
ODD: list[dict[str, Any]] = [
    {},
    {"members": (1,)},
    {"members": (1, 2, 3, 4), "paid": (2, 4), "payout_index": 3, "current_round": 4},
    {"members": (1, 2), "payout_index": 2, "status": "completed"},
    {"members": (1, 2), "payout_index": 7},
    {"status": "cancelled"},
    {"token": None, "grace_period": None, "penalty_rate": None, "insurance_rate_bps": None},
    *({"contribution_amount": amount, "paid": (1, 2)} for amount in (2**127 - 1, -(2**127), 0, -1)),
    {"cycle_duration": U64, "grace_period": U64},
    {"cycle_duration": 604_800, "grace_period": U64},
    {"cycle_duration": 0, "grace_period": 0},
    *({"cycle_duration": seconds} for seconds in (1, 86_399, 86_400, 86_401, 86_400_000_000, 86_400_000_001)),
    {"created_at": None, "round_started_at": None},
    {"created_at": START + timedelta(microseconds=1), "round_started_at": START + timedelta(microseconds=500_000)},
    {"round_started_at": LATE, "cycle_duration": 0, "grace_period": 1},
    {"round_started_at": LATE - timedelta(days=9), "cycle_duration": 9 * 86_400, "grace_period": 0},
    {"round_started_at": datetime(1970, 1, 1, tzinfo=UTC), "cycle_duration": 253_402_300_799, "grace_period": 1},
    {"max_members": 2**32 - 1, "current_round": 2**32 - 1, "penalty_rate": 2**32 - 1, "modified_ledger": 2**32 - 1},
    {"name": HOSTILE, "description": HOSTILE * 3, "rules": "\x7f\x80\x9f"},
]


@pytest.mark.parametrize("values", ODD, ids=str)
def test_postgresql_writes_the_serializers_very_bytes(values: dict[str, Any]) -> None:
    make_group(1, **values)
    assert group_bodies([1])[1].body == serialized(1)


@pytest.mark.parametrize(
    "values",
    [
        {"symbol": None, "decimals": None, "verified": True},
        {"symbol": HOSTILE, "decimals": None},
        {"symbol": None, "decimals": 2**32 - 1},
        {"symbol": "", "decimals": 0, "verified": True},
    ],
    ids=str,
)
def test_postgresql_writes_tokens_as_the_serializer_does(values: dict[str, Any]) -> None:
    make_group(1, token=make_token(9, **values))
    assert group_bodies([1])[1].body == serialized(1)


@pytest.mark.parametrize("deadline", [None, START, START + timedelta(microseconds=123_000), LATE])
def test_postgresql_writes_refund_requests_and_joining_times_as_the_serializer_does(deadline: datetime | None) -> None:
    group = make_group(1, members=(1, 2, 3), paid=(3,))
    group.memberships.filter(position=1).update(joined_at=deadline)
    RefundRequest.objects.create(
        group=group, requester=make_user(2), created_at=deadline, voting_deadline=deadline, votes_for=2**32 - 1,
        votes_against=0, executed=True, approved=False, entry_xdr="",
    )  # fmt: skip
    assert group_bodies([1])[1].body == serialized(1)


def test_one_statement_gives_a_body_and_how_fresh_it_is() -> None:
    make_group(1)
    unsynced = fresh_body(1)
    assert unsynced is not None
    assert (unsynced.freshness.dataset_id, unsynced.freshness.ledger, unsynced.freshness.stale) == ("", 0, True)
    checkpoint = make_checkpoint(ledger=1000)
    found = fresh_body(1)
    assert found is not None
    assert checkpoint.chain_advanced_at is not None
    document, fresh, _ = found
    assert (fresh.dataset_id, fresh.ledger) == (checkpoint.dataset_id.hex, 1000)
    assert fresh.chain_advanced_at == pytest.approx(checkpoint.chain_advanced_at.timestamp(), abs=1e-3)
    assert document == group_bodies([1])[1]
    prepared = prepared_body(connection.connection, 1)
    assert prepared is not None
    assert (prepared.document, prepared.freshness.ledger) == (document, 1000)
    assert fresh_body(2) is None
    assert prepared_body(connection.connection, 2) is None
