"""A service for whoever tries the console: a chain with groups of every kind, followed, with labels and accounts.

Its time is NOW, in years to come, so that periods are the same whenever a test runs: the console goes by the chain's
time where that is later than the host's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.contrib.auth.models import Group as Role
from django.contrib.auth.models import User as Account
from django.test import override_settings
from pytest_django.live_server_helper import LiveServer

from ajo.console.roles import OPERATOR
from ajo.indexer.verify import sweep_groups
from ajo.soroban.models import ChainTransaction, Checkpoint
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.pool import nodes
from devtools.sandbox.network import LEDGER_SECONDS
from devtools.sandbox.sandbox import Sandbox
from groups.models import WalletLabel
from tests.support.chromium import Page
from tests.support.following import catch_up
from tests.support.histories import DAY
from tests.support.wallets import wallets

XLM: Final = 10**7  # stroops
NOW: Final = datetime(2040, 6, 15, 12, tzinfo=UTC)
PASSWORD: Final = "correct horse battery"
OPERATOR_NAME, CHIEF = "ngozi", "chief"
AMINA, BOLA, CHIDI, DAYO, WANG = wallets(5)
LABELS: Final = {AMINA: "Amina", BOLA: "Bola", CHIDI: "Chidi", DAYO: "Dayo", WANG: "王小明"}
# Groups by their ids. The others are new, and wait for members.
CANCELLED, DIFFERING, OVERDUE, PAYOUT_DUE, CHINESE, RUNNING = 3, 5, 7, 9, 10, 12
REFUSED_TX: Final = "ab" * 32


@dataclass(frozen=True, slots=True)
class Service:
    """The service at `url`, and the chain that it follows. `paid_tx`: the transaction of Amina's newest payment."""

    url: str
    sandbox: Sandbox
    client: SorobanClient
    paid_tx: str

    def follow(self) -> None:
        """Close a ledger and read it, so that the chain was heard just now."""
        self.sandbox.chain.close_ledger()
        catch_up(self.client)

    def checkpoint(self) -> Checkpoint:
        """Return how far the tables follow the chain."""
        return Checkpoint.objects.get()


@contextmanager
def console_service() -> Iterator[Service]:
    """Run the service on a database that has only roles. Whoever calls it empties the database."""
    began = int((NOW - timedelta(days=45, hours=12)).timestamp())  # 1 May
    with Sandbox(genesis_close=began) as sandbox:
        settings = {
            "STELLAR_NETWORK_PASSPHRASE": sandbox.chain.passphrase,
            "AJO_CONTRACT_ID": sandbox.contract,
            "SOROBAN_RPC_URL": [sandbox.url],
        }
        server = LiveServer("localhost")
        client = SorobanClient(sandbox.url, retries=0)
        nodes.cache_clear()
        try:
            with override_settings(**settings):
                paid_tx = _history(sandbox)
                _people()
                service = Service(server.url, sandbox, client, paid_tx)
                service.follow()
                list(sweep_groups(lambda read: read(client)))
                _transactions(paid_tx)
                yield service
        finally:
            client.close()
            server.stop()
            nodes.cache_clear()


def _history(sandbox: Sandbox) -> str:
    """Let two months of savings happen. Return the hash of Amina's newest payment."""
    chain = sandbox.chain

    def on(day: datetime, *calls: tuple[Any, ...]) -> list[str]:
        chain.open_ledger().close = int(day.timestamp())
        made = [chain.call(*call) for call in calls]
        assert [call.error for call in made] == [None] * len(calls), calls
        chain.close_ledger()
        return [call.hash for call in made]

    def create(weeks: int, members: int) -> tuple[Any, ...]:
        return (AMINA, "create_group", AMINA, chain.token, 50 * XLM, weeks * 7 * DAY, members, DAY, 5, 0)

    for wallet in LABELS:
        chain.fund(wallet)
    weeks = {CANCELLED: 8, OVERDUE: 1, PAYOUT_DUE: 1, RUNNING: 4}
    on(_day(5, 1), *(create(weeks.get(group, 13), 3) for group in range(1, RUNNING + 1)))
    names = {CANCELLED: "Holiday fund", DIFFERING: "Market women", OVERDUE: "Taxi drivers",
             PAYOUT_DUE: "Bakers", CHINESE: "互助会", RUNNING: "Ẹgbẹ́ Ajọ"}  # fmt: skip
    joined = {CANCELLED: [CHIDI], OVERDUE: [DAYO], PAYOUT_DUE: [BOLA], CHINESE: [WANG], RUNNING: [BOLA, CHIDI]}
    on(
        _day(5, 2),
        *((AMINA, "set_group_metadata", group, name.encode(), b"Saving", b"") for group, name in names.items()),
        *((member, "join_group", member, group) for group, members in joined.items() for member in members),
    )
    paid = {CANCELLED: [AMINA, CHIDI], OVERDUE: [AMINA], PAYOUT_DUE: [AMINA, BOLA], RUNNING: [AMINA, BOLA, CHIDI]}
    on(_day(5, 4), *((who, "contribute", who, group) for group, members in paid.items() for who in members))
    on(_day(5, 20), (AMINA, "cancel_group", AMINA, CANCELLED))
    on(_day(6, 2), (BOLA, "execute_payout", RUNNING))
    (paid_tx,) = on(_day(6, 10), (AMINA, "contribute", AMINA, RUNNING))
    chain.close_ledger(close=int(NOW.timestamp()) - LEDGER_SECONDS)
    return paid_tx


def _day(month: int, day: int) -> datetime:
    return datetime(NOW.year, month, day, 10, tzinfo=UTC)


def _people() -> None:
    WalletLabel.objects.bulk_create(WalletLabel(address=address, label=label) for address, label in LABELS.items())
    clerk = Account.objects.create_user(OPERATOR_NAME, password=PASSWORD, is_staff=True)
    clerk.groups.add(Role.objects.get(name=OPERATOR))
    Account.objects.create_superuser(CHIEF, password=PASSWORD)


def _transactions(paid_tx: str) -> None:
    """Store what was submitted here: a payment that succeeded, and one that the contract refused."""
    common: dict[str, Any] = {
        "xdr": "AAAA", "submitted_ledger": 5, "function": "contribute", "group_id": RUNNING, "source": AMINA,
        "max_time": int(NOW.timestamp()), "max_fee": 1000, "next_attempt_at": NOW,
    }  # fmt: skip
    ChainTransaction.objects.create(hash=paid_tx, sequence=1, status="success", ledger=8, **common)
    refusal = {"code": "contract_error", "contract_error": {"code": 9, "name": "AlreadyContributed"}}
    ChainTransaction.objects.create(hash=REFUSED_TX, sequence=2, status="rejected", **common, **refusal)


def sign_in(page: Page, service: Service, name: str) -> None:
    """Open the first page as this account: the one address that is typed."""
    assert page.open(f"{service.url}/admin/") == 200
    if page.run("Boolean(document.querySelector('#logout-form'))"):
        if page.text("#user-tools strong").upper() == name.upper():
            return
        page.click("Log out")
        page.open(f"{service.url}/admin/")
    page.write("Username", name)
    page.write("Password", PASSWORD)
    assert page.click("Log in") == 200
