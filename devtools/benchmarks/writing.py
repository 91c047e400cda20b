"""The measures of writing: a build and a submission beside the node's own part, and reads while many are followed."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import requests
from stellar_sdk import Account, Keypair, TransactionBuilder, TransactionEnvelope, scval

from ajo.conf.checks import SANDBOX_PASSPHRASE
from devtools.benchmarks.place import Place, Web, beside
from devtools.benchmarks.rows import MEMBERS
from devtools.benchmarks.web import Measure, group_paths
from devtools.sandbox.network import BASE_RESERVE
from devtools.sandbox.rpc import Fault
from devtools.sandbox.sandbox import Sandbox

TRANSACTIONS = 30  # builds and submissions of which the median is taken
WARM_UP = 8  # further ones before them: each web thread has its own connections
NEAR, FAR = 0.0, 0.1  # seconds that the node takes longer than the sandbox: a public one takes a tenth of a second
PENDING = 1_000  # transactions that succeed within ten ledgers
LOOK_UPS = PENDING / 100  # that they may cost
STATEMENTS = 5  # whose time in the database each of them may cost
GROUPS = 10_000  # whose cached bodies are read meanwhile
SECONDS = 4.0  # of reads alone, three times
# Synchronizes the tables with the sandbox, in a process of its own.
CATCH_UP = """
import django
django.setup()
from ajo.indexer.follow import run_pass
while not run_pass().caught_up:
    pass
"""


@dataclass
class Wallets:
    """Wallets outside, each with a group of its own that it may join, and the two addresses that they post to."""

    sandbox: Sandbox
    web: Web
    session: requests.Session

    def __post_init__(self) -> None:
        chain, count = self.sandbox.chain, 2 * len((NEAR, FAR)) * (TRANSACTIONS + WARM_UP)
        self.joining = [(Keypair.from_raw_ed25519_seed(n.to_bytes(32, "big")), n) for n in range(1, count + 1)]
        creator = Keypair.from_raw_ed25519_seed(bytes([255]) * 32).public_key
        chain.fund(creator)
        for key, _ in self.joining:
            chain.fund(key.public_key)
            chain.call(creator, "create_group", creator, chain.token, 50, 3600, 12, 0, 0, 0)
        chain.close_ledger()

    def build(self, key: Keypair, group: int) -> TransactionEnvelope:
        """Have a joining built by the service, and return it unsigned."""
        args = {"member": key.public_key, "group_id": str(group)}
        answer = self._post(
            "transactions/build/", {"function": "join_group", "source": key.public_key, "args": args}, 200
        )
        return TransactionEnvelope.from_xdr(answer["xdr"], SANDBOX_PASSPHRASE)

    def submit(self, envelope: TransactionEnvelope) -> None:
        """Submit it to the service."""
        self._post("transactions/", {"xdr": envelope.to_xdr()}, 202)

    def simulate(self, key: Keypair, group: int) -> None:
        """Simulate the same joining at the node."""
        builder = TransactionBuilder(Account(key.public_key, 0), SANDBOX_PASSPHRASE).set_timeout(0)
        arguments = [scval.to_address(key.public_key), scval.to_uint64(group)]
        builder.append_invoke_contract_function_op(self.sandbox.contract, "join_group", arguments)
        if "error" in self._ask("simulateTransaction", builder.build()):
            raise SystemExit("the node refuses the yardstick's simulation")

    def send(self, envelope: TransactionEnvelope) -> None:
        """Send it to the node."""
        if self._ask("sendTransaction", envelope)["status"] != "PENDING":
            raise SystemExit("the node refuses the yardstick's transaction")

    def _post(self, path: str, body: Mapping[str, Any], status: int) -> Any:
        answer = self.session.post(f"http://127.0.0.1:{self.web.port}/api/v1/{path}", json=body, timeout=30)
        if answer.status_code != status:
            raise SystemExit(f"{path}: {answer.status_code} {answer.text[:200]}")
        return answer.json()

    def _ask(self, method: str, envelope: TransactionEnvelope) -> dict[str, Any]:
        request: Any = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"transaction": envelope.to_xdr()}}
        result: dict[str, Any] = self.session.post(self.sandbox.url, json=request, timeout=30).json()["result"]
        return result


def writing(place: Place) -> Iterator[Measure]:
    """Measure builds beside their own simulation, and submissions beside a bare sendTransaction."""
    with Sandbox(passphrase=SANDBOX_PASSPHRASE, base_reserve=BASE_RESERVE) as sandbox:
        env = {
            "DATABASE_URL": place.make_database("writing"), "REDIS_URL": place.redis(6),
            "SOROBAN_RPC_URL": sandbox.url, "AJO_CONTRACT_ID": sandbox.contract,
        }  # fmt: skip
        with place.web(**env) as web, requests.Session() as session:
            wallets = Wallets(sandbox, web, session)
            place.run("-c", CATCH_UP, env=env)
            for delay, where in ((NEAR, "sandbox"), (FAR, f"node {FAR * 1000:.0f} ms away")):
                with _delayed(sandbox, delay):
                    build, submit = _write(wallets)
                yield Measure(f"build, {where}", build[0] * 1000, build[1] * 1000, "ms", 1.5)
                yield Measure(f"submit, {where}", submit[0] * 1000, submit[1] * 1000, "ms", 1.3)


@contextmanager
def _delayed(sandbox: Sandbox, seconds: float) -> Iterator[None]:
    """Have the node answer each request so much later."""
    if seconds:
        sandbox.rpc.faults.extend([Fault(None, delay=seconds)] * 10_000)
    try:
        yield
    finally:
        sandbox.rpc.faults.clear()


def _write(wallets: Wallets) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return seconds of a build and of its simulation, of a submission and of a sendTransaction: medians, in turns."""
    times: dict[str, list[float]] = {"build": [], "simulate": [], "submit": [], "send": []}

    def timed(name: str, ask: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        answer = ask()
        times[name].append(time.perf_counter() - began)
        return answer

    for _ in range(WARM_UP + TRANSACTIONS):
        (key, group), (other, others_group) = wallets.joining.pop(), wallets.joining.pop()
        mine = timed("build", partial(wallets.build, key, group))
        timed("simulate", partial(wallets.simulate, key, group))
        bare = wallets.build(other, others_group)
        mine.sign(key)
        bare.sign(other)
        timed("submit", partial(wallets.submit, mine))
        timed("send", partial(wallets.send, bare))
    found = {name: median(each[WARM_UP:]) for name, each in times.items()}
    return (found["build"], found["simulate"]), (found["submit"], found["send"])


def following(place: Place) -> Iterator[Measure]:
    """Measure what the follower asks for, its time in the database, and p99 of cached reads meanwhile."""
    env = {"DATABASE_URL": place.make_database("following", GROUPS, GROUPS * MEMBERS), "REDIS_URL": place.redis(7)}
    place.chain("warm", GROUPS, env)
    paths = group_paths(GROUPS, 20_000, zipf=True)
    argv = [sys.executable, "-m", "devtools.benchmarks.follower", str(PENDING)]
    with place.web(**env) as web:
        web.wrk(paths, SECONDS, pause=10)
        alone = median(web.wrk(paths, SECONDS, pause=10).p99 for _ in range(3))
        with beside(argv, {**place.env, **env, "SYNC_INTERVAL": "1"}) as follower:
            assert follower.stdout
            seconds = float(follower.stdout.readline())  # that it will take, about
            during = web.wrk(paths, seconds, pause=10)
            found: dict[str, float] = json.loads(follower.stdout.read().splitlines()[-1])
    yield Measure(f"getTransaction for {PENDING:,} successes", found["look_ups"], LOOK_UPS, "calls", 1)
    yield Measure("follower, database time", found["follow"] * 1000, found["updates"] * 1000, "ms", STATEMENTS)
    yield Measure(f"p99 while {PENDING:,} are followed", during.p99, alone, "ms", 2)
