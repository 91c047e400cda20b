"""No path and no query under /api/ gives a 500 or HTML, whatever bytes it is made of."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote_from_bytes

import pytest
from django.test import Client
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytest_django import Settings
from stellar_sdk import Account, Keypair, SorobanDataBuilder, TransactionBuilder

from ajo.transactions.calls import make_call
from tests.support.factories import API, account, event_id, make_checkpoint, make_event, make_group

pytestmark = pytest.mark.django_db
PATHS = [
    "groups/", "groups/1/", "groups/1/members/", "groups/1/contributions/", "groups/1/events/", "users/",
    f"users/{account(1)}/", f"users/{account(1)}/groups/", f"users/{account(1)}/dues/", "contributions/", "payouts/",
    "refunds/", "events/", "status/", "transactions/", f"transactions/{'0' * 64}/", "", "contract/", "contract/tokens/",
    "groups/1/entries/", "groups/1/schedule/",
]  # fmt: skip
NAMES = [
    "limit", "cursor", "min_ledger", "status", "creator", "member", "token", "joinable", "amount_min", "amount_max",
    "search", "ordering", "group", "user", "round", "tx_hash", "created_after", "created_before", "after", "format",
    "ids", "overdue", "payout_due", "type", "from", "to",
    "source", "function",
]  # fmt: skip
VALUES = st.one_of(
    st.binary(max_size=60),
    st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.integers(-(2**130), 2**130).map(lambda number: str(number).encode()),
    st.datetimes().map(lambda moment: f"{moment.isoformat()}Z".encode()),
    st.sampled_from([b"", b"true", b"active", b"-id", b"abc", event_id(1).encode(), account(1).encode(), b"\xff\x00"]),
)
QUERIES = st.lists(st.tuples(st.one_of(st.sampled_from(NAMES), st.text(max_size=10)), VALUES), max_size=4)
FUZZ = hypothesis_settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def _rows(settings: Settings) -> None:
    settings.STELLAR_NETWORK_PASSPHRASE = "Test"
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


def envelope(text: str) -> bytes:
    """A signed transaction that carries this text: of a good form as far as a fuzz test can have one."""
    call = make_call("set_group_metadata", {"group_id": 1, "name": text.encode(), "description": b"", "rules": b""})
    builder = TransactionBuilder(Account(account(1), 1), "Test", base_fee=100)
    built = builder.append_operation(call.operation()).add_time_bounds(0, 1_800_000_000)
    resources: Any = SorobanDataBuilder  # untyped
    built.set_soroban_data(resources().set_resource_fee(1000).build())
    signed = built.build()
    signed.sign(Keypair.from_raw_ed25519_seed((1).to_bytes(32, "big")))
    return signed.to_xdr_object().to_xdr_bytes()


ENVELOPE = envelope("Esusu")
# bytes of an envelope, some of them others
SPOILT = st.lists(st.tuples(st.integers(0, len(ENVELOPE) - 1), st.integers(0, 255)), max_size=5)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.just("xdr"), inner, max_size=3)
    ),
    max_leaves=8,
)
TYPES = ["application/json", "application/x-www-form-urlencoded", "text/plain", "multipart/form-data", ""]


WRITES = ["transactions/", "transactions/build/", "transactions/prepare/"]


def assert_refused_in_json(client: Client, body: bytes, content_type: str, path: str = WRITES[0]) -> None:
    """Nothing here can be taken: the tables follow no chain that could be asked."""
    response = client.post(API + path, body, content_type=content_type)
    assert response.status_code in (400, 413, 415, 503), (body, response.status_code)
    assert json.loads(response.content)["status"] == response.status_code
    assert response["Content-Type"] == "application/problem+json"


@FUZZ
@given(changes=SPOILT, cut=st.integers(0, 8))
def test_any_envelope_is_answered_in_json(client: Client, changes: list[tuple[int, int]], cut: int) -> None:
    raw = bytearray(ENVELOPE)
    for place, value in changes:
        raw[place] = value
    text = base64.b64encode(raw[: len(raw) - cut]).decode()
    assert_refused_in_json(client, json.dumps({"xdr": text}).encode(), "application/json")


@FUZZ
@given(
    body=st.binary(max_size=100) | JSON.map(lambda each: json.dumps(each).encode()),
    kind=st.sampled_from(TYPES),
    path=st.sampled_from(WRITES),
)
def test_any_body_is_answered_in_json(client: Client, body: bytes, kind: str, path: str) -> None:
    assert_refused_in_json(client, body, kind, path)


FIELDS = [
    "function",
    "source",
    "args",
    "valid_for",
    "sequence",
    "replaces",
    "inclusion_fee",
    "xdr",
    "auth",
    "signatures",
]


@FUZZ
@given(fields=st.dictionaries(st.sampled_from(FIELDS), JSON), path=st.sampled_from(WRITES[1:]))
def test_any_field_of_a_build_is_answered_in_json(client: Client, fields: dict[str, Any], path: str) -> None:
    usual = {"function": "join_group", "source": account(1), "args": {"member": account(1), "group_id": "1"}}
    body = fields if path == WRITES[2] else usual | fields
    assert_refused_in_json(client, json.dumps(body).encode(), "application/json", path)
