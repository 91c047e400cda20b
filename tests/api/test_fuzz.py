"""No path and no query under /api/ gives a 500 or HTML, whatever bytes it is made of."""

from __future__ import annotations

import json
from urllib.parse import quote_from_bytes

import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.factories import API, account, event_id, make_checkpoint, make_event, make_group

pytestmark = pytest.mark.django_db
PATHS = [
    "groups/", "groups/1/", "groups/1/members/", "groups/1/contributions/", "groups/1/events/", "users/",
    f"users/{account(1)}/", f"users/{account(1)}/groups/", f"users/{account(1)}/dues/", "contributions/", "payouts/",
    "refunds/", "events/", "status/", f"transactions/{'0' * 64}/", "", "contract/", "contract/tokens/",
    "groups/1/entries/", "groups/1/schedule/",
]  # fmt: skip
NAMES = [
    "limit", "cursor", "min_ledger", "status", "creator", "member", "token", "joinable", "amount_min", "amount_max",
    "search", "ordering", "group", "user", "round", "tx_hash", "created_after", "created_before", "after", "format",
    "ids", "overdue", "payout_due", "type", "from", "to",
]  # fmt: skip
VALUES = st.one_of(
    st.binary(max_size=60),
    st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.integers(-(2**130), 2**130).map(lambda number: str(number).encode()),
    st.datetimes().map(lambda moment: f"{moment.isoformat()}Z".encode()),
    st.sampled_from([b"", b"true", b"active", b"-id", b"abc", event_id(1).encode(), account(1).encode(), b"\xff\x00"]),
)
QUERIES = st.lists(st.tuples(st.one_of(st.sampled_from(NAMES), st.text(max_size=10)), VALUES), max_size=4)
FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def _rows() -> None:
    make_checkpoint(group_count=1)
    make_group(1)
    make_event(1)


def assert_spoken_in_json(client: Client, url: str, **headers: str) -> None:
    response = client.get(url, headers=headers)
    assert response.status_code in (200, 304, 308, 400, 404, 406, 503), (url, response.status_code)
    if response.status_code in (304, 308):
        assert response.content == b""
        return
    json.loads(response.content)
    expected = "application/json" if response.status_code == 200 else "application/problem+json"
    assert response["Content-Type"] == expected, url


@FUZZ
@given(path=st.sampled_from(PATHS), query=QUERIES)
def test_any_query_is_answered_in_json(client: Client, path: str, query: list[tuple[str, bytes]]) -> None:
    parts = (f"{quote_from_bytes(k.encode('utf-8', 'surrogatepass'))}={quote_from_bytes(v)}" for k, v in query)
    # a ledger that the sync may reach would be waited for
    known = [part for part in parts if not part.startswith("min_ledger=")]
    assert_spoken_in_json(client, f"{API}{path}?{'&'.join(known)}")


@FUZZ
@given(
    parts=st.lists(st.one_of(st.sampled_from([b"groups", b"users", b"1", b"events", b".."]), st.binary(max_size=20))),
    slash=st.booleans(),
)
def test_any_path_is_answered_in_json(client: Client, parts: list[bytes], slash: bool) -> None:
    path = "/".join(quote_from_bytes(part, safe="") for part in parts)
    assert_spoken_in_json(client, f"{API}x/{path}{'/' * slash}")
    assert_spoken_in_json(client, f"{API}groups/{path}{'/' * slash}")


@FUZZ
@given(
    accept=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40),
    known=st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=40),
)
def test_any_header_is_answered_in_json(client: Client, accept: str, known: str) -> None:
    assert_spoken_in_json(client, f"{API}groups/1/", Accept=accept, **{"If-None-Match": known})
