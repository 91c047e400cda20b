"""The sandbox as a process: it says what it is, closes ledgers, stops when told, and goes on where it was killed."""

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from stellar_sdk import Asset, Keypair, SorobanServer, scval, xdr
from stellar_sdk.contract import ContractClient
from stellar_sdk.contract.exceptions import SendTransactionFailedError

from ajo.soroban.contract.entries import decode_entry
from ajo.soroban.contract.keys import GroupKey, InstanceKey, MetadataKey
from devtools.sandbox.__main__ import BadSetting, settings
from devtools.sandbox.chain import Chain
from devtools.sandbox.demo import HISTORY_SECONDS, LIVE_PACE, Population, tell_history
from devtools.sandbox.ledger.keys import account_key
from devtools.sandbox.network import PASSPHRASE, contract_id
from tests.support.waiting import wait_for

WALLET = re.compile(r"wallet: (G\w{55}) secret=(S\w{55}) ")
READY = re.compile(r"ready: (\S+) contract=(\S+) ")


@contextmanager
def process(folder: Path, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """A sandbox on a free port: the process, its address, its contract."""
    env = {
        **os.environ,
        "SANDBOX_PORT": "0",
        "SANDBOX_LEDGER_SECONDS": "0.1",
        "SANDBOX_DIR": str(folder),
        **environment,
    }
    command = [sys.executable, "-m", "devtools.sandbox"]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        try:
            assert started.stdout is not None
            assert "development and tests only" in started.stdout.readline()
            ready = READY.match(started.stdout.readline())
            assert ready is not None
            yield started, ready[1], ready[2]
        finally:
            started.kill()


def test_ledgers_close_on_their_own_until_the_process_is_told_to_stop(tmp_path: Path) -> None:
    with process(tmp_path, SANDBOX_DEMO="0", STELLAR_NETWORK_PASSPHRASE="Some Network") as (started, url, contract):
        server = SorobanServer(url)
        assert contract == contract_id("Some Network")
        assert server.get_network().passphrase == "Some Network"
        first = server.get_health().latest_ledger
        wait_for(lambda: server.get_health().latest_ledger > first + 2)
        started.send_signal(signal.SIGTERM)
        assert started.wait(10) == 0


def test_without_the_demo_there_is_no_group_and_still_a_funded_wallet(tmp_path: Path) -> None:
    with process(tmp_path, SANDBOX_DEMO="0") as (started, url, contract):
        assert started.stdout is not None
        wallet = WALLET.match(started.stdout.readline())
        assert wallet is not None
        assert SorobanServer(url).load_account(wallet[1]).sequence > 0
        entry = SorobanServer(url).get_ledger_entries([xdr.LedgerKey.from_xdr(InstanceKey().to_xdr(contract))]).entries
        assert entry is not None
        assert decode_entry(entry[0].xdr).value.group_counter == 0


def test_a_killed_chain_goes_on_where_it_was(tmp_path: Path) -> None:
    with process(tmp_path) as (started, url, _):
        server = SorobanServer(url)
        before = server.get_health().latest_ledger
        wait_for(lambda: server.get_health().latest_ledger > before + 5)
        last = server.get_health().latest_ledger
        first = server.get_events(start_ledger=1, limit=10).events[0].id
        started.send_signal(signal.SIGKILL)
        started.wait(10)
    with process(tmp_path) as (_, url, _):
        server = SorobanServer(url)
        assert server.get_health().latest_ledger >= last
        assert server.get_events(start_ledger=1, limit=10).events[0].id == first


def test_a_taken_port_is_one_line_and_an_exit_code(tmp_path: Path) -> None:
    with process(tmp_path, SANDBOX_DEMO="0") as (_, url, _):
        env = {**os.environ, "SANDBOX_PORT": url.rsplit(":", 1)[1], "SANDBOX_DIR": "", "SANDBOX_DEMO": "0"}
        command = [sys.executable, "-m", "devtools.sandbox"]
        second = subprocess.run(command, env=env, capture_output=True, text=True, timeout=20)
        assert second.returncode == 1
        assert second.stderr.count("\n") == 1
        assert "SANDBOX_PORT" in second.stderr


def test_an_app_developer_founds_a_group_among_the_demos_and_orders_a_bad_day(tmp_path: Path) -> None:
    with process(tmp_path, SANDBOX_LEDGER_SECONDS="0.3") as (started, url, contract):
        server = SorobanServer(url)
        assert started.stdout is not None
        wallet = WALLET.match(started.stdout.readline())
        assert wallet is not None
        me = Keypair.from_secret(wallet[2])
        assert me.public_key == wallet[1]
        new = Keypair.random().public_key
        assert requests.get(f"{url}/friendbot", params={"addr": new}, timeout=20).ok
        account = xdr.LedgerKey.from_xdr_bytes(account_key(new))
        wait_for(lambda: bool(server.get_ledger_entries([account]).entries))
        token = Asset.native().contract_id(PASSPHRASE)
        terms = [scval.to_int128(5), scval.to_uint64(60), scval.to_uint32(3), scval.to_uint64(0)]
        rest = [scval.to_uint32(0), scval.to_uint32(0)]
        arguments = [scval.to_address(me.public_key), scval.to_address(token), *terms, *rest]
        client = ContractClient(contract, url, PASSPHRASE)

        def found() -> Any:
            return client.invoke("create_group", arguments, me.public_key, me, scval.from_uint64).sign_and_submit()

        requests.post(f"{url}/sandbox/refuse", json={"status": "TRY_AGAIN_LATER"}, timeout=20).raise_for_status()
        with pytest.raises(SendTransactionFailedError, match="TRY_AGAIN_LATER"):
            found()
        key = GroupKey(found()).to_xdr(contract)
        entries = server.get_ledger_entries([xdr.LedgerKey.from_xdr(key)]).entries
        assert entries is not None
        assert decode_entry(entries[0].xdr).value.creator == me.public_key


def test_a_folder_of_an_older_sandbox_is_refused_in_one_line(tmp_path: Path) -> None:
    chain = Chain(folder=tmp_path)
    with chain.store.ledger():
        chain.store.set_meta("form", "1")
    chain.store.close()
    env = {**os.environ, "SANDBOX_PORT": "0", "SANDBOX_DIR": str(tmp_path), "SANDBOX_DEMO": "0"}
    command = [sys.executable, "-m", "devtools.sandbox"]
    found = subprocess.run(command, env=env, capture_output=True, text=True, timeout=20)
    assert (found.returncode, found.stderr.count("\n")) == (1, 1)
    assert "older sandbox; remove it" in found.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [("SANDBOX_PORT", "x"), ("SANDBOX_PORT", "70000"), ("SANDBOX_LEDGER_SECONDS", "0"), ("SANDBOX_DEMO", "maybe")],
)
def test_a_bad_setting_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(BadSetting, match=name):
        settings({name: value})


def test_settings_have_defaults() -> None:
    found = settings({})
    assert (found.port, found.ledger_seconds, found.demo, found.folder) == (8001, 5, True, None)


def told(seed: str) -> Chain:
    chain = Chain(genesis_close=1_760_000_000)
    tell_history(chain, seed)
    return chain


def test_the_demo_has_life_of_every_kind_up_to_now() -> None:
    chain = told("ajo")
    assert abs(1_760_000_000 + HISTORY_SECONDS - chain.range().last_close) < 60
    count = chain.read(InstanceKey()).group_counter
    statuses = Counter(chain.read(GroupKey(each)).status for each in range(1, count + 1))
    assert min(statuses["active"], statuses["completed"], statuses["cancelled"]) >= 5
    named = [each for each in range(1, count + 1) if chain.read(MetadataKey(each)) is not None]
    assert 0 < len(named) < count
    kinds = {each.topics[0] for each in chain.store.events("0", "9") if each.contract == chain.contract}
    assert len(kinds) >= 9


def test_the_demo_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    def hashes(chain: Chain) -> list[str]:
        return [each.tx_hash for each in chain.store.events("0", "9")]

    assert hashes(told("one")) == hashes(told("one"))
    assert hashes(told("one")) != hashes(told("two"))


def test_the_demo_goes_on_after_its_history() -> None:
    chain = told("ajo")
    before = sum(1 for _ in chain.store.events("0", "9"))
    people = Population(chain, "ajo", pace=LIVE_PACE)
    for _ in range(200):
        people.act()
        chain.close_ledger()
    assert sum(1 for _ in chain.store.events("0", "9")) > before + 20
