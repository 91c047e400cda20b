"""The HTTP in front of the sandbox's RPC: threads of the standard library, kept-alive connections, Go's manners."""

import re
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from ajo.soroban.contract.codec import encode_address
from devtools.sandbox import gojson, jsonrpc
from devtools.sandbox.jsonrpc import Answer, plain
from devtools.sandbox.rpc import Dropped, Rpc
from devtools.sandbox.switches import order, orders

BODY_LIMIT: Final = 512 * 1024  # bytes
# How much of an oversized body is read away, so that the sender gets to hear the answer.
DRAIN_LIMIT: Final = 64 * 1024 * 1024
FRIENDBOT: Final = "/friendbot"
SWITCHES: Final = "/sandbox/"
SECOND_NODE: Final = "/second"  # another node of the network, which may lag behind
_CHUNK: Final = re.compile(rb"\s*([0-9a-fA-F]+)\s*(?:;.*)?\Z")


@dataclass(frozen=True, slots=True)
class Canned:
    """An answer to give in place of the real one, as tests order them; `$id` in its body is the request's id."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


class RpcServer(ThreadingHTTPServer):
    """Serves one Rpc. `canned` answers are given first, one to a request; `seen` has each body that was POSTed."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, rpc: Rpc, host: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__((host, port), _Handler)
        self.rpc = rpc
        self.canned: deque[Canned] = deque()
        self.seen: deque[bytes] = deque(maxlen=1000)

    @property
    def url(self) -> str:
        return f"http://{self.server_address[0]!s}:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is no news; a fault of the sandbox's own is."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: RpcServer
    protocol_version = "HTTP/1.1"
    server_version = "AjoSandbox"
    sys_version = ""
    # Headers and body leave together; a body sent alone would wait for the other side's delayed acknowledgement.
    wbufsize = 65_536
    disable_nagle_algorithm = True
    timeout = 60  # seconds that a silent connection is kept

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: the demo's own line at the start is all that a terminal needs."""

    def __getattr__(self, name: str) -> Callable[[], None]:
        """Whatever the verb, it is answered here."""
        if name.startswith("do_"):
            return self._serve
        raise AttributeError(name)

    def _serve(self) -> None:
        body = self._body()
        if urlsplit(self.path).path == FRIENDBOT:
            self._send(_friendbot(self.server.rpc, urlsplit(self.path).query))
            return
        if self.command == "OPTIONS" and "Access-Control-Request-Method" in self.headers:
            # as stellar-rpc is set up (rs/cors with every header allowed), so that pages may ask
            allowed = self.headers.get("Access-Control-Request-Headers", "")
            told = [("Access-Control-Allow-Methods", "POST"), ("Access-Control-Allow-Headers", allowed)]
            self._send(Answer(204, "", b""), told[: 1 + bool(allowed)])
            return
        if urlsplit(self.path).path == SWITCHES and self.command == "GET":
            self._send(orders())
            return
        if urlsplit(self.path).path.startswith(SWITCHES) and self.command == "POST":
            self._send(order(self.server.rpc, urlsplit(self.path).path.removeprefix(SWITCHES), body or b""))
            return
        if self.server.canned:
            canned = self.server.canned.popleft()
            asked = re.search(rb'"id": ?"(\w+)"', body or b"")
            said = canned.body.replace(b"$id", asked[1]) if asked else canned.body
            self._send(Answer(canned.status, "", said), list(canned.headers))
            return
        try:
            answer = self._answer(body)
        except Dropped:
            self.close_connection = True
            return
        self._send(answer, [("Accept-Post", "application/json")])

    def _answer(self, body: bytes | None) -> Answer:
        if self.command != "POST":
            return Answer(405, "", b"")
        refused = wrong_media_type(self.headers)
        if refused is not None:
            return plain(415, f"{refused}\n")
        if body is None:
            return plain(500, "http: request body too large\n")
        self.server.seen.append(body)
        if fault := self.server.rpc.take_fault(body):
            time.sleep(fault.delay)
            if fault.status == 0:
                raise Dropped
            if fault.status is not None:
                return plain(fault.status, "a fault that was ordered\n")
        second = urlsplit(self.path).path == SECOND_NODE
        return jsonrpc.answer(self.server.rpc.second() if second else self.server.rpc, body)

    def _body(self) -> bytes | None:
        """The request's body; None when it is longer than a server takes."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return self._chunks()
        try:
            length = int(self.headers.get("Content-Length") or 0)
        except ValueError:
            length = -1
        if length < 0:
            self.close_connection = True
            return b""
        if length <= BODY_LIMIT:
            return self.rfile.read(length)
        self._drain(length)
        return None

    def _chunks(self) -> bytes | None:
        parts: list[bytes] = []
        total = 0
        while True:
            size = _CHUNK.match(self.rfile.readline(1024).rstrip(b"\r\n"))
            if size is None or (length := int(size[1], 16)) == 0:
                # After the last chunk come trailers and an empty line; after nonsense, nothing that could be used.
                while size is not None and self.rfile.readline(65_536) not in (b"\r\n", b"\n", b""):
                    pass
                self.close_connection = self.close_connection or size is None
                return None if total > BODY_LIMIT else b"".join(parts)
            total += length
            if total > BODY_LIMIT:
                self._drain(length)
                return None
            parts.append(self.rfile.read(length))
            self.rfile.readline(8)

    def _drain(self, length: int) -> None:
        self.close_connection = True
        left = min(length, DRAIN_LIMIT)
        while left > 0:
            read = len(self.rfile.read(min(left, 65_536)))
            if read == 0:
                return
            left -= read

    def _send(self, found: Answer, headers: list[tuple[str, str]] | None = None) -> None:
        self.send_response(found.status)
        for name, value in headers or ():
            self.send_header(name, value)
        if found.media_type:
            self.send_header("Content-Type", found.media_type)
        self.send_header("Access-Control-Allow-Origin", "*")
        if self.close_connection:
            self.send_header("Connection", "close")
        if found.status != 204:
            self.send_header("Content-Length", str(len(found.body)))
        self.end_headers()
        if self.command != "HEAD" and found.status != 204:
            self.wfile.write(found.body)


def wrong_media_type(headers: Message) -> str | None:
    """Why a request's Content-Type is refused, in the words of the library; None where it is JSON in UTF-8."""
    parsed = Message()
    parsed["Content-Type"] = headers.get("Content-Type", "")
    # An absent header is not JSON, though the parser would call it text/plain.
    if parsed.get_content_type() != "application/json":
        return "content-type must be application/json"
    # A parameter without a value makes Go's parser give up on parameters, not on the type.
    charset = parsed.get_param("charset") or "utf-8"
    if charset not in ("utf-8", "utf8"):
        return "invalid content-type charset"
    return None


def _friendbot(rpc: Rpc, query: str) -> Answer:
    """Tokens for an account or contract: `?addr=`."""
    address = parse_qs(query).get("addr", [""])[0]
    try:
        encode_address(address)
    except ValueError:
        return Answer(400, "application/json", gojson.dumps({"detail": "addr is not a G… or C… address"}).encode())
    found = {"hash": rpc.chain.fund(address), "successful": True}
    return Answer(200, "application/json", gojson.dumps(found).encode())


def serve_in_thread(server: RpcServer) -> threading.Thread:
    """Serve until `server.shutdown()`."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    return thread
