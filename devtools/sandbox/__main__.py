"""`python -m devtools.sandbox`: the sandbox as a process of its own.

Environment: SANDBOX_PORT (8001), SANDBOX_LEDGER_SECONDS (5), SANDBOX_DEMO (1; 0 for no demo population), SANDBOX_SEED
(ajo), SANDBOX_DIR (a folder that keeps the chain; none: memory only), STELLAR_NETWORK_PASSPHRASE.

It takes transactions as a network does: `/friendbot?addr=G…` makes an account, any Stellar SDK does the rest. What else
can happen to a client is ordered with `POST /sandbox/NAME`; `GET /sandbox/` says what there is.
"""

import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

from devtools.sandbox.chain import Chain
from devtools.sandbox.demo import HISTORY_SECONDS, LIVE_PACE, Population, tell_history
from devtools.sandbox.network import BASE_RESERVE, PASSPHRASE, demo_keypair
from devtools.sandbox.rpc import Rpc
from devtools.sandbox.server import RpcServer, serve_in_thread

# A node whose newest ledger is older says that it is not healthy; 30 s is the real server's default.
HEALTHY_SECONDS: Final = 30
HEALTHY_LEDGERS: Final = 6


class BadSetting(Exception):
    """A setting that cannot be used; the message names it."""


@dataclass(frozen=True, slots=True)
class Settings:
    port: int
    ledger_seconds: float
    demo: bool
    seed: str
    folder: Path | None
    passphrase: str


def settings(environment: dict[str, str]) -> Settings:
    """Raises BadSetting."""
    return Settings(
        port=int(_number(environment, "SANDBOX_PORT", 8001, 0, 65_535)),
        ledger_seconds=_number(environment, "SANDBOX_LEDGER_SECONDS", 5, 0.05, 3600),
        demo=_switch(environment, "SANDBOX_DEMO"),
        seed=environment.get("SANDBOX_SEED") or "ajo",
        folder=Path(environment["SANDBOX_DIR"]) if environment.get("SANDBOX_DIR") else None,
        passphrase=environment.get("STELLAR_NETWORK_PASSPHRASE") or PASSPHRASE,
    )


def _number(environment: dict[str, str], name: str, default: float, least: float, most: float) -> float:
    text = environment.get(name) or str(default)
    try:
        found = float(text)
    except ValueError:
        raise BadSetting(f"{name} is not a number: {text}") from None
    if not least <= found <= most:
        raise BadSetting(f"{name} must be between {least} and {most}: {text}")
    return found


def _switch(environment: dict[str, str], name: str) -> bool:
    text = (environment.get(name) or "1").lower()
    if text not in ("0", "1", "true", "false", "on", "off", "yes", "no"):
        raise BadSetting(f"{name} must be 0 or 1: {text}")
    return text in ("1", "true", "on", "yes")


def run(wanted: Settings, stop: threading.Event) -> int:
    """Serve and close ledgers until `stop` is set; the exit code."""
    print("Ajo sandbox: a make-believe Stellar network for development and tests only", flush=True)
    try:
        chain = Chain(wanted.passphrase, wanted.folder, genesis_close=_genesis(wanted), base_reserve=BASE_RESERVE)
        server = RpcServer(Rpc(chain), port=wanted.port)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"the sandbox cannot start: {error} (SANDBOX_PORT={wanted.port}, SANDBOX_DIR)\n")
        return 1
    if wanted.demo and chain.is_new:
        tell_history(chain, wanted.seed)
    chain.clock = time.time
    wallet = demo_keypair(chain.passphrase)
    if chain.balance(wallet.public_key) == 0:
        chain.fund(wallet.public_key)
    server.rpc.friendbot_url = f"{server.url}/friendbot"
    people = Population(chain, wanted.seed, pace=LIVE_PACE) if wanted.demo else None
    # Whoever asks first finds a chain of just now, however long it has been asleep.
    close_one(chain, people)
    server.rpc.max_latency = max(HEALTHY_SECONDS, int(HEALTHY_LEDGERS * wanted.ledger_seconds))
    thread = serve_in_thread(server)
    print(f"ready: {server.url} contract={chain.contract} network={chain.passphrase!r}", flush=True)
    print(f"wallet: {wallet.public_key} secret={wallet.secret} (funded; for trying things out)", flush=True)
    while not stop.wait(wanted.ledger_seconds):
        close_one(chain, people)
    server.shutdown()
    thread.join()
    server.server_close()
    chain.store.close()
    return 0


def _genesis(wanted: Settings) -> int:
    """A new chain with a population begins where its past does."""
    return int(time.time()) - (HISTORY_SECONDS + 60 if wanted.demo else 0)


def close_one(chain: Chain, people: Population | None) -> None:
    """The next ledger, unless the chain is frozen."""
    with chain.lock:
        if chain.frozen:
            return
        if people is not None:
            people.act()
        chain.close_ledger()


def main() -> int:
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.set()

    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, on_signal)
    try:
        return run(settings(dict(os.environ)), stop)
    except BadSetting as error:
        sys.stderr.write(f"{error}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
