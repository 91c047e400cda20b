"""The client's requests, and answers that are not to them."""

import gc
import json
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from ajo.soroban.rpc.answers import Health, Network
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.errors import (
    ChainError,
    RpcInvalidAnswer,
    RpcLimitExceeded,
    RpcOutOfRange,
    RpcRateLimited,
    RpcRejected,
    RpcUnavailable,
)
from ajo.soroban.rpc.transactions import FeeStats, Sent, SimulationAnswer, TransactionAnswer
from ajo.soroban.rpc.transport import Answer
from devtools.sandbox.sandbox import Sandbox


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[SorobanClient]:
    client = SorobanClient(sandbox.url, retries=0)
    yield client
    client.close()


def test_each_request_has_an_id_of_its_own(sandbox: Sandbox, client: SorobanClient) -> None:
    for _ in range(3):
        client.get_health()
        client.get_entries([])
        client.get_events(sandbox.contract, start_ledger=2, limit=1)
    assert len({json.loads(body)["id"] for body in sandbox.server.seen}) == 9


def test_a_late_answer_to_the_request_before_is_not_taken_for_this_ones(
    sandbox: Sandbox, client: SorobanClient
) -> None:
    client.get_health()
    before = json.loads(sandbox.server.seen[-1])["id"]
    late = {"jsonrpc": "2.0", "id": before, "result": sandbox.rpc.call("getHealth", None)}
    sandbox.answer_next(200, json.dumps(late).encode())
    with pytest.raises(RpcInvalidAnswer, match="another request"):
        client.get_health()


def test_an_answer_is_refused_for_what_is_wrong_with_it(sandbox: Sandbox, client: SorobanClient) -> None:
    for body, message in (
        (b"<html>", "is not JSON"),
        (b'{"id":"$id","result":{"latestLedger":1', "is not JSON"),
        (b"[1, 2]", "another form"),
        (b'{"id":"$id","result":null}', "another form"),
        (b'{"id":"$id","result":{"latestLedger":"x"}}', "another form"),
        (b'{"id":"$id","result":{"latestLedger":1,"oldestLedger":2,"ledgerRetentionWindow":1}}', "out of order"),
    ):
        sandbox.answer_next(200, body)
        with pytest.raises(RpcInvalidAnswer, match=message):
            client.get_health()


RANGE = b'{"id":"$id","error":{"code":-32600,"message":"startLedger must be within the ledger range: 5 - 9"}}'


@pytest.mark.parametrize(
    ("status", "body", "kind", "message"),
    [
        *((status, RANGE, RpcOutOfRange, "ledger range: 5 - 9") for status in (400, 404, 422, 500)),
        (400, b'{"id":"$id","error":{"code":-32602,"message":"invalid parameters"}}', RpcRejected, "invalid param"),
        (400, b'{"id":null,"error":{"code":-32700,"message":"parse error"}}', RpcRejected, "parse error"),
        (200, b'{"id":null,"error":{"code":-32700,"message":"parse error"}}', RpcRejected, "parse error"),
        (504, b'{"id":"$id","error":{"code":-32001,"message":"took too long"}}', RpcLimitExceeded, "took too long"),
        # what is none for this request counts by its status
        (400, b'{"id":"another","error":{"code":-32602,"message":"x"}}', RpcUnavailable, "HTTP 400"),
        (400, b'{"error":"no such key"}', RpcUnavailable, "HTTP 400"),
        (400, b'{"id":"$id","result":{}}', RpcUnavailable, "HTTP 400"),
        (502, b"<html>", RpcUnavailable, "HTTP 502"),
        (429, b'{"id":"$id","error":{"code":-32005,"message":"limit exceeded"}}', RpcRateLimited, "HTTP 429"),
    ],
)
def test_a_json_rpc_error_is_understood_whatever_status_a_gateway_sends_it_with(
    sandbox: Sandbox, client: SorobanClient, status: int, body: bytes, kind: type[ChainError], message: str
) -> None:
    sandbox.answer_next(status, body)
    with pytest.raises(ChainError, match=message) as failure:
        client.get_events(sandbox.contract, start_ledger=2, limit=1)
    assert type(failure.value) is kind


@pytest.mark.parametrize("form", [SimulationAnswer, Sent, TransactionAnswer, FeeStats, Network, Health])
def test_the_model_of_an_answer_is_made_once(form: Any) -> None:
    """Breaks if nobody held it: pydantic would make it anew after each request, in milliseconds."""
    generic: Any = Answer
    model = weakref.ref(generic[form])
    gc.collect()
    assert model() is not None
