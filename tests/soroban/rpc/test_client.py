"""The client's requests, and answers that are not to them."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from pytest_django import Settings

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
from ajo.soroban.rpc.transport import ca_bundle
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
    for body, said in (
        (b"<html>", "is not JSON"),
        (b'{"id":"$id","result":{"latestLedger":1', "is not JSON"),
        (b"[1, 2]", "another form"),
        (b'{"id":"$id","result":null}', "another form"),
        (b'{"id":"$id","result":{"latestLedger":"x"}}', "another form"),
        (b'{"id":"$id","result":{"latestLedger":1,"oldestLedger":2,"ledgerRetentionWindow":1}}', "out of order"),
    ):
        sandbox.answer_next(200, body)
        with pytest.raises(RpcInvalidAnswer, match=said):
            client.get_health()


RANGE = b'{"id":"$id","error":{"code":-32600,"message":"startLedger must be within the ledger range: 5 - 9"}}'


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
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
    sandbox: Sandbox, client: SorobanClient, status: int, body: bytes, kind: type[ChainError], said: str
) -> None:
    sandbox.answer_next(status, body)
    with pytest.raises(ChainError, match=said) as failure:
        client.get_events(sandbox.contract, start_ledger=2, limit=1)
    assert type(failure.value) is kind


@contextmanager
def listening(seen: list[tuple[str, Mapping[str, str]]]) -> Iterator[str]:
    """An HTTP server that notes each request's target and headers, and knows no method; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Silent."""

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.append((self.path, dict(self.headers)))
            answer = {"id": json.loads(body)["id"], "error": {"code": -32601, "message": "no such method"}}
            text = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def test_neither_netrc_nor_http_proxy_changes_what_the_provider_gets(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Breaks if requests read the environment: a login of that host in .netrc takes the place of the key."""
    netrc = tmp_path / "netrc"
    netrc.write_text("default login someone password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    seen: list[tuple[str, Mapping[str, str]]] = []
    proxied: list[tuple[str, Mapping[str, str]]] = []
    with listening(seen) as url, listening(proxied) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy)
        client = SorobanClient(url, headers={"Authorization": "Bearer key"}, retries=0)
        with pytest.raises(RpcRejected):
            client.get_health()
        client.close()
    assert proxied == []
    assert [headers["Authorization"] for _, headers in seen] == ["Bearer key"]


def test_a_proxy_is_used_where_it_is_asked_for(settings: Settings) -> None:
    seen: list[tuple[str, Mapping[str, str]]] = []
    with listening(seen) as proxy:
        settings.RPC_PROXY = proxy
        client = SorobanClient("http://rpc.example/key", retries=0)
        with pytest.raises(RpcRejected):
            client.get_health()
        client.close()
    assert [path for path, _ in seen] == ["http://rpc.example/key"]


def test_a_company_s_certificate_authorities_are_still_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    assert ca_bundle() is True
    monkeypatch.setenv("SSL_CERT_FILE", "/etc/company.pem")
    assert ca_bundle() == "/etc/company.pem"
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/first.pem")
    assert ca_bundle() == "/etc/first.pem"
