"""A service that is well, for the doctor to look at, and what it finds wrong there."""

import shutil
import time
from collections.abc import Iterator

import pytest
from django.conf import LazySettings
from django.utils import timezone

from ajo.conf.checks import SANDBOX_PASSPHRASE
from ajo.ops.doctor import Finding, Level, diagnose
from ajo.ops.models import Heartbeat
from ajo.soroban.models import Checkpoint
from devtools.sandbox.sandbox import Sandbox

TOTAL, USED = 10**12, 10**11  # bytes of a disk


@pytest.fixture(scope="module")
def network() -> Iterator[Sandbox]:
    with Sandbox() as made:
        made.chain.clock = time.time
        yield made


def close_one(network: Sandbox) -> None:
    """Close a ledger of now, unless the newest is still young: two within a second would be ahead of the clock."""
    if time.time() - network.chain.range().last_close > 10:
        network.chain.close_ledger()


@pytest.fixture
def service(network: Sandbox, settings: LazySettings, db: None, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """A service that is well: a node of now, tables at its ledger, a worker and a beat."""
    settings.SOROBAN_RPC_URL = [network.url]
    settings.AJO_CONTRACT_ID = network.contract
    settings.STELLAR_NETWORK_PASSPHRASE = SANDBOX_PASSPHRASE
    monkeypatch.setenv("AJO_CONTRACT_ID", network.contract)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(TOTAL, USED, TOTAL - USED))
    close_one(network)
    latest = network.chain.latest
    Checkpoint.objects.create(
        network_passphrase=SANDBOX_PASSPHRASE, contract=network.contract, start_ledger=1, ledger=latest,
        chain_ledger=latest, chain_advanced_at=timezone.now(), chain_closed_at=timezone.now(),
    )  # fmt: skip
    for part in ("worker", "beat"):
        Heartbeat.objects.create(name=f"{part}@host:1", part=part, tasks=[{"name": "sync", "seconds": 1.0}])
    return network


def bad() -> list[Finding]:
    """What is not well."""
    return [finding for finding in diagnose() if finding.level is not Level.OK]


def only_bad() -> Finding:
    found = bad()
    assert len(found) == 1, found
    return found[0]
