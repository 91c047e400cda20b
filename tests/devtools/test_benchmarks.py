"""The measures of the sync, on few rows: the chain that they are given is one that the service believes."""

import json
import os
import subprocess
import sys

import pytest

from ajo.conf.checks import SANDBOX_PASSPHRASE
from ajo.settings import BASE_DIR
from devtools.benchmarks.place import CONTRACT
from devtools.benchmarks.rows import fill
from tests.support.databases import manage, use_database

GROUPS = 20


@pytest.mark.django_db
def test_a_sync_beside_filled_tables_follows_all_events() -> None:
    """Breaks where the chain of the measures answers otherwise than the client asks."""
    with use_database("ajo_bench") as address:
        assert manage(address, "migrate", "-v0").returncode == 0
        fill(address, CONTRACT, SANDBOX_PASSPHRASE, GROUPS, GROUPS * 10)
        env = os.environ | {
            "DATABASE_URL": address, "AJO_CONTRACT_ID": CONTRACT, "STELLAR_NETWORK_PASSPHRASE": SANDBOX_PASSPHRASE,
            "RPC_EVENTS_LIMIT": "100",
        }  # fmt: skip
        argv = [sys.executable, "-m", "devtools.benchmarks.chain", "events", "420"]
        done = subprocess.run(argv, cwd=BASE_DIR, env=env, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        rates = json.loads(done.stdout.splitlines()[-1])
        assert rates["ours"] > 0
        assert rates["yardstick"] > 0
