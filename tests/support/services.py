"""A pytest plugin: one real PostgreSQL and one real Redis for the whole run, up before Django's settings are read.

With `-n` (pytest-xdist) each worker has a pair of its own, which the process that hands out the tests starts and stops.
TEST_DATABASE_URL and TEST_REDIS_URL replace them by servers that are there already (their contents are overwritten).
"""

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from ajo.conf.checks import SANDBOX_PASSPHRASE
from devtools.stack import postgres, redis

# Tests throw the data away: nothing has to survive a crash of the machine.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
CONTRACT = "CAS3J7GYLGXMF6TDJBBYYSE3HQ6BBSMLNUQ34T6TZMYMW2EVH34XOWMA"
# Whatever the machine's own environment holds, tests see these; a test that needs others says so itself.
SETTINGS = {
    "ENV_FILE": os.devnull,
    "SECRET_KEY": "tests-only-0123456789abcdefghijklmnopqrstuvwxyz-0123456789",
    "AJO_CONTRACT_ID": CONTRACT,
    "AJO_SANDBOX": "1",
    "SOROBAN_RPC_URL": "http://127.0.0.1:1",  # nobody listens there
    "STELLAR_NETWORK_PASSPHRASE": SANDBOX_PASSPHRASE,
    "READ_RATE": "",
    "CHAIN_RATE": "",
    "DJANGO_SETTINGS_MODULE": "ajo.settings",
}
# Variables that the tests set: a stack of its own is started without them.
TEST_VARIABLES = {*SETTINGS, "DATABASE_URL", "REDIS_URL"}
REMOVED = ("DEBUG", "PUBLIC_URL", "ALLOWED_HOSTS", "TRUSTED_PROXIES", "CELERY_BROKER_URL", "SOROBAN_RPC_HEADERS")
WORKER, ADDRESSES = "PYTEST_XDIST_WORKER", "TEST_ADDRESSES_"  # with a worker's name: its servers' addresses
running = ExitStack()


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Start the servers before pytest-django reads the settings, which it does in the same hook."""
    os.environ.update(SETTINGS)
    for name in REMOVED:
        os.environ.pop(name, None)
    if worker := os.environ.get(WORKER):
        os.environ["DATABASE_URL"], os.environ["REDIS_URL"] = os.environ[ADDRESSES + worker].split()
        return
    workers = getattr(early_config.known_args_namespace, "numprocesses", None) or 0
    given = [os.environ.get(name, "") for name in ("TEST_DATABASE_URL", "TEST_REDIS_URL")]
    if workers and (any(given) or not isinstance(workers, int)):
        raise pytest.UsageError("-n takes a number, and its workers share no TEST_DATABASE_URL and no TEST_REDIS_URL.")
    home = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="ajo-tests-")))
    for number in range(workers):
        folder = home / f"gw{number}"
        folder.mkdir()
        os.environ[f"{ADDRESSES}gw{number}"] = f"{_postgres(folder)} {_redis(folder)}"
    os.environ["DATABASE_URL"], os.environ["REDIS_URL"] = (
        os.environ[f"{ADDRESSES}gw0"].split() if workers else (given[0] or _postgres(home), given[1] or _redis(home))
    )


def _postgres(home: Path) -> str:
    return running.enter_context(postgres(home / "postgres", home / "postgres.log", FAST))[0]


def _redis(home: Path) -> str:
    return running.enter_context(redis(home / "redis", home / "redis.log"))[0]


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    """Stop the servers after pytest-django has dropped its database."""
    running.close()
