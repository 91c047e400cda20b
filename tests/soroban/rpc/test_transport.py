"""The HTTP transport: what it takes of a node's answer, for how long, and through which proxy."""

from __future__ import annotations

import json
import socket
import threading
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from resource import RUSAGE_SELF, getrusage

import pytest
from pytest_django import Settings

from ajo.indexer.follow import run_pass
from ajo.soroban.models import RpcNode
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.errors import RpcRejected
from ajo.soroban.rpc.transport import ca_bundle
from devtools.sandbox.sandbox import Sandbox
from tests.support.faults import answers
from tests.support.following import assert_equal, make_groups
from tests.support.nodes import use_nodes
from tests.support.proxy import Proxy

pytestmark = pytest.mark.django_db(transaction=True)


class DrippingNode:
    """A node that answers HTTP 200 and then a byte each 0.1 seconds, until the block ends."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._ended = threading.Event()
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._drip, args=(client,), daemon=True).start()

    def _drip(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            client.recv(65536)
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
            while not self._ended.wait(0.1):
                client.sendall(b" ")

    def __enter__(self) -> DrippingNode:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._listening.close()


def test_a_node_that_answers_for_ever_is_left_for_another(sandbox: Sandbox, settings: Settings) -> None:
    """Breaks if the timeout were that of each read alone."""
    settings.RPC_TIMEOUT = 1
    with DrippingNode() as dripping:
        use_nodes(settings, dripping, sandbox)
        make_groups(sandbox, 1)
        run_pass()
    assert "not complete in time" in RpcNode.objects.get(name__startswith="1:").last_error
    assert_equal(sandbox)


def test_an_answer_without_measure_is_not_read(sandbox: Sandbox, settings: Settings) -> None:
    """Breaks if an answer were read whole before anybody looks at it: a few hundred kilobytes unfold to what fits in no
    worker's memory.
    """
    make_groups(sandbox, 1)
    packed = zlib.compressobj(9, wbits=31)  # gzip, piece by piece: it must not be the test that takes the memory
    bomb = b"".join(packed.compress(bytes(2**20)) for _ in range(400)) + packed.flush()
    before = getrusage(RUSAGE_SELF).ru_maxrss  # KiB
    with Proxy(sandbox.url) as proxy, proxy.failing(answers(200, bomb, ("Content-Encoding", "gzip"))):
        use_nodes(settings, proxy, sandbox)
        run_pass()
    assert getrusage(RUSAGE_SELF).ru_maxrss - before < 200_000
    assert "more than" in RpcNode.objects.get(name__startswith="1:").last_error
    assert_equal(sandbox)


def test_a_redirect_is_not_followed_with_the_providers_key(sandbox: Sandbox, settings: Settings) -> None:
    make_groups(sandbox, 1)
    settings.SOROBAN_RPC_HEADERS = {"X-Api-Key": "a-key"}
    with Proxy(sandbox.url) as elsewhere, Proxy(sandbox.url) as proxy:
        away = answers(307, b"", ("Location", f"{elsewhere.url}/"))
        with elsewhere.failing(answers(500)), proxy.failing(away):
            use_nodes(settings, proxy, sandbox)
            run_pass()
            assert elsewhere.met == 0
    assert "HTTP 307" in RpcNode.objects.get(name__startswith="1:").last_error


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
