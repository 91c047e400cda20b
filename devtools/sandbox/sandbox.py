"""A sandbox within a test or a script: chain, RPC and HTTP server in one, on a free port.

with Sandbox() as sandbox:
    sandbox.chain.call(source, "create_group", …)
    sandbox.chain.close_ledger()
    SorobanServer(sandbox.url)…
"""

from types import TracebackType
from typing import Any, Self

from devtools.sandbox.chain import Chain
from devtools.sandbox.rpc import Rpc
from devtools.sandbox.server import Canned, RpcServer, serve_in_thread


class Sandbox:
    """Serves a chain: a new one in memory (`options` are Chain's) or a given one. Time stands still between ledgers."""

    def __init__(self, chain: Chain | None = None, *, port: int = 0, **options: Any) -> None:
        self.chain = Chain(**options) if chain is None else chain
        self.rpc = Rpc(self.chain)
        self.server = RpcServer(self.rpc, port=port)
        self.rpc.friendbot_url = f"{self.url}/friendbot"
        self._thread = serve_in_thread(self.server)

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def contract(self) -> str:
        return self.chain.contract

    def answer_next(self, status: int, body: bytes = b"", *headers: tuple[str, str], times: int = 1) -> None:
        """Give these answers to the next requests, whatever they ask."""
        self.server.canned.extend([Canned(status, body, headers)] * times)

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
