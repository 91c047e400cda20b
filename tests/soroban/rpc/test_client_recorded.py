"""The client reads every answer that the real RPC server gave, and says of each refusal what it is."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from ajo.soroban.rpc.answers import EventPage
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.errors import ChainError, RpcOutOfRange, RpcRejected
from tests.support.recordings import READING


class Recorded(HTTPServer):
    """Gives the recorded answer to whatever is asked, under the id that was asked with."""

    answer: dict[str, Any]


class Handler(BaseHTTPRequestHandler):
    server: Recorded

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps(self.server.answer | {"id": asked["id"]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Silent."""


@pytest.fixture(scope="module")
def recorded() -> Iterator[Recorded]:
    with Recorded(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(client: SorobanClient, method: str, params: dict[str, Any], contract: str) -> Any:
    """The same request through the client's own method."""
    if method == "getHealth":
        return client.get_health()
    if method == "getNetwork":
        return client.get_network()
    if method == "getLedgerEntries":
        return client.get_entries([key for key in params.get("keys") or [] if isinstance(key, str)])
    pagination = params.get("pagination") or {}
    return client.get_events(
        contract,
        start_ledger=params.get("startLedger") if isinstance(params.get("startLedger"), int) else None,
        cursor=pagination.get("cursor") if "startLedger" not in params else None,
        limit=pagination.get("limit") or 100,
    )


@pytest.mark.parametrize("file", READING, ids=lambda file: file.stem)
def test_every_recorded_answer_is_read(recorded: Recorded, file: Path) -> None:
    chain = json.loads(file.read_text())
    client = SorobanClient(f"http://127.0.0.1:{recorded.server_port}", retries=0)
    read = refused = 0
    for exchange in chain["exchanges"]:
        request = exchange.get("request", {})
        params = request.get("params", {})
        if request.get("method") not in ("getHealth", "getNetwork", "getLedgerEntries", "getEvents"):
            continue
        if not isinstance(params, dict):
            continue
        recorded.answer = exchange["response"]
        if "error" in exchange["response"]:
            refused += 1
            check_refusal(client, request["method"], params, chain["contract"], exchange["response"]["error"])
        elif request["method"] != "getEvents" or not of_others(params, chain["contract"]):
            read += 1
            check_answer(ask(client, request["method"], params, chain["contract"]), exchange["response"]["result"])
    client.close()
    assert read > 5
    assert file.stem == "growing" or refused > 5


def of_others(params: dict[str, Any], contract: str) -> bool:
    """Whether the answer holds events of other contracts, which the client never asks for."""
    filters = params.get("filters") or [{}]
    return any(contract not in each.get("contractIds", []) for each in filters)


def check_refusal(client: SorobanClient, method: str, params: dict[str, Any], contract: str, error: Any) -> None:
    with pytest.raises(ChainError) as halt_reason:
        ask(client, method, params, contract)
    out_of_range = "within the ledger range" in error["message"]
    assert isinstance(halt_reason.value, RpcOutOfRange if out_of_range else RpcRejected)
    assert str(error["code"]) in str(halt_reason.value)


def check_answer(answer: Any, result: dict[str, Any]) -> None:
    if isinstance(answer, EventPage):
        happened = [e for e in result["events"] if e["inSuccessfulContractCall"]]
        assert [(e.id, e.ledger, e.tx_hash, list(e.topics), e.value) for e in answer.events] == [
            (e["id"], e["ledger"], e["txHash"], e["topic"], e["value"]) for e in happened
        ]
        assert (answer.cursor, answer.latest_ledger, answer.oldest_ledger) == (
            result["cursor"],
            result["latestLedger"],
            result["oldestLedger"],
        )
        assert f"{answer.latest_closed_at.timestamp():.0f}" == result["latestLedgerCloseTime"]
    elif "entries" in result:
        assert {
            key: (e["xdr"], e["lastModifiedLedgerSeq"], e.get("liveUntilLedgerSeq")) for key, e in answer.found.items()
        } == {e["key"]: (e["xdr"], e["lastModifiedLedgerSeq"], e.get("liveUntilLedgerSeq")) for e in result["entries"]}
    elif "passphrase" in result:
        assert (answer.passphrase, answer.protocol_version) == (result["passphrase"], result["protocolVersion"])
    else:
        assert (answer.latest_ledger, answer.oldest_ledger) == (result["latestLedger"], result["oldestLedger"])
