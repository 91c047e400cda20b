"""Nodes that lag, prune, limit or contradict themselves: what a pass in one process does, page by page."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django import Settings
from stellar_sdk import scval

from ajo.indexer.follow import sync_pass
from ajo.soroban.models import Checkpoint, ContractEvent, HistoryGap, SyncRun
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.errors import NodeLagging, RpcInvalidAnswer, RpcLimitExceeded
from contributions.models import Contribution
from devtools.sandbox.sandbox import Sandbox
from tests.support.comparison import differences
from tests.support.faults import and_then, error, result, when
from tests.support.histories import DAY, History, contract_entries
from tests.support.proxy import Exchange, Fault, Proxy, Reply
from tests.support.wallets import wallets

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def sandbox(settings: Settings) -> Iterator[Sandbox]:
    with Sandbox(retention=200) as running:
        settings.STELLAR_NETWORK_PASSPHRASE = running.chain.passphrase
        settings.AJO_CONTRACT_ID = running.contract
        yield running


@pytest.fixture
def proxy(sandbox: Sandbox) -> Iterator[Proxy]:
    with Proxy(sandbox.url) as between:
        yield between


@pytest.fixture
def client(proxy: Proxy) -> Iterator[SorobanClient]:
    reader = SorobanClient(proxy.url, retries=0)
    yield reader
    reader.close()


def catch_up(client: SorobanClient) -> None:
    while not sync_pass(client).caught_up:
        pass


def equals_the_chain(sandbox: Sandbox) -> bool:
    unannounced = (": name:", ": description:", ": rules:")
    found = differences(contract_entries(sandbox.chain))
    return [d for d in found if not any(word in d for word in unannounced)] == []


def one_transaction_pays(sandbox: Sandbox, count: int) -> int:
    """A router contract pays for `count` members of a new group, in one transaction; the ledger that has it."""
    chain, members = sandbox.chain, wallets(count)
    for wallet in members:
        chain.fund(wallet)
    group = chain.call(members[0], "create_group", members[0], chain.token, 50, DAY, count, 0, 0, 0).result
    for wallet in members[1:]:
        chain.call(wallet, "join_group", wallet, group)
    chain.close_ledger()
    arguments = (
        scval.to_address(sandbox.contract),
        scval.to_vec([scval.to_address(member) for member in members]),
        scval.to_vec([scval.to_uint64(group) for _ in members]),
    )
    done = chain.submit(members[0], "contribute_all", [a.to_xdr() for a in arguments], on=chain.contracts.router)
    assert done.error is None
    return chain.close_ledger()


def test_a_page_that_ends_inside_a_transaction_does_not_claim_its_ledger(
    sandbox: Sandbox, client: SorobanClient, settings: Settings
) -> None:
    """Breaks without the `ledger - 1` of a full page in EventPage.complete_to: Latest-Ledger names a ledger of which
    contributions are still missing.
    """
    settings.RPC_EVENTS_LIMIT = 6
    ledger = one_transaction_pays(sandbox, 4)
    sandbox.chain.close_ledger(3)
    sync_pass(client)
    assert Contribution.objects.count() == 2
    assert Checkpoint.objects.get().ledger < ledger
    catch_up(client)
    assert Contribution.objects.count() == 4
    assert Checkpoint.objects.get().ledger == sandbox.chain.latest
    assert equals_the_chain(sandbox)


def test_a_full_page_that_ends_inside_the_latest_ledger_is_not_the_end(
    sandbox: Sandbox, client: SorobanClient, settings: Settings
) -> None:
    """Breaks without `not self.full` in EventPage.caught_up: `manage.py sync` ends, and its last events are missing."""
    settings.RPC_EVENTS_LIMIT = 6
    ledger = one_transaction_pays(sandbox, 4)
    assert ledger == sandbox.chain.latest
    first = sync_pass(client)
    assert not first.caught_up
    assert first.ledger == ledger - 1
    catch_up(client)
    assert Contribution.objects.count() == 4
    assert Checkpoint.objects.get().ledger == ledger


def limited_to(events: int) -> Fault:
    """A node that manages so many events in one call."""
    too_much = error(-32001, "request exceeded processing limit threshold")

    def fault(exchange: Exchange) -> Reply:
        if exchange.method == "getEvents" and exchange.call["params"]["pagination"]["limit"] > events:
            return too_much(exchange)
        return exchange.forward()

    return fault


def test_a_node_that_gives_up_on_a_page_is_asked_for_half_of_it(
    sandbox: Sandbox, client: SorobanClient, proxy: Proxy, settings: Settings
) -> None:
    """Breaks without the loop in `pages.next_page`: no pass ever gets a page."""
    settings.RPC_EVENTS_LIMIT = 100
    History(sandbox.chain, 5).walk(20)
    with proxy.failing(limited_to(3)):
        catch_up(client)
    assert SyncRun.objects.latest("id").counts["events_limit"] == 3
    assert equals_the_chain(sandbox)


def test_a_node_that_gives_up_on_a_single_event_ends_the_pass(
    sandbox: Sandbox, client: SorobanClient, proxy: Proxy
) -> None:
    """Breaks without the end at 1: a limit of 0 is the node's default of 100, asked for again and again."""
    History(sandbox.chain, 5).walk(5)
    with proxy.failing(limited_to(0)), pytest.raises(RpcLimitExceeded):
        sync_pass(client)
    catch_up(client)
    assert equals_the_chain(sandbox)


def test_what_the_node_prunes_between_two_calls_of_the_first_pass_is_no_gap(
    sandbox: Sandbox, client: SorobanClient, proxy: Proxy
) -> None:
    """Breaks without the margin in `gaps.first_ledger`: the node has pruned the ledger that it named itself."""
    history = History(sandbox.chain, 5)
    sandbox.chain.close_ledger(sandbox.chain.retention)
    history.walk(10)
    with proxy.failing(when("getHealth", and_then(sandbox.chain.close_ledger), times=1)):
        sync_pass(client)
    assert Checkpoint.objects.get().cursor
    catch_up(client)
    assert not HistoryGap.objects.exists()
    assert equals_the_chain(sandbox)
    assert ContractEvent.objects.filter(type="created", group_id=1).exists()


def test_a_node_that_prunes_faster_than_the_first_pass_reads_names_the_whole_gap(
    sandbox: Sandbox, client: SorobanClient, proxy: Proxy
) -> None:
    """Loading many groups takes longer than a ledger. Breaks if the first gap began where the first try began: what
    happened before would seem to be known.
    """
    history = History(sandbox.chain, 5)
    history.walk(20)
    sandbox.chain.close_ledger(sandbox.chain.retention)
    history.walk(10)
    slow = and_then(lambda: sandbox.chain.close_ledger(7))
    with proxy.failing(when("getLedgerEntries", slow, times=2)):
        sync_pass(client)
    catch_up(client)
    gap = HistoryGap.objects.get()
    assert gap.from_ledger == 0
    assert gap.to_ledger == Checkpoint.objects.get().start_ledger - 1
    assert equals_the_chain(sandbox)


def test_a_node_whose_retention_has_passed_leaves_a_gap_and_the_rows_are_recovered(
    sandbox: Sandbox, client: SorobanClient
) -> None:
    """Breaks without `follow._out_of_range` (refused for ever) and without `recover_gaps` (contributions are lost)."""
    history = History(sandbox.chain, 5)
    history.walk(20)
    catch_up(client)
    reached = Checkpoint.objects.get().ledger
    history.walk(30)
    sandbox.chain.close_ledger(sandbox.chain.retention + 5)
    history.walk(5)
    catch_up(client)
    gap = HistoryGap.objects.get()
    assert (gap.from_ledger, gap.recovered_at is None) == (reached, False)
    assert Contribution.objects.filter(event_id=None).exists()
    assert equals_the_chain(sandbox)


class Mixed:
    """A balancer: some methods are answered by a node that lags."""

    def __init__(self, lagging: Sandbox, *methods: str) -> None:
        self._proxy = Proxy(lagging.url)
        self.methods = methods

    def __call__(self, exchange: Exchange) -> Reply:
        if exchange.method not in self.methods:
            return exchange.forward()
        return self._proxy.answer(json.dumps(exchange.call).encode())


def test_entries_of_a_node_that_lags_behind_the_events_are_not_taken(
    sandbox: Sandbox, client: SorobanClient, proxy: Proxy
) -> None:
    """Breaks without `at_least` in GroupReader: the events move the cursor, the old entries become the rows, and
    nothing comes back to them.
    """
    history = History(sandbox.chain, 5)
    history.walk(20)
    behind = sandbox.chain.replica()
    catch_up(client)
    history.walk(20)
    with Sandbox(behind) as lagging, proxy.failing(Mixed(lagging, "getLedgerEntries")), pytest.raises(NodeLagging):
        sync_pass(client)
    catch_up(client)
    assert equals_the_chain(sandbox)


def test_a_node_that_lags_a_little_and_counts_a_group_less_does_not_stop_the_sync(
    sandbox: Sandbox, client: SorobanClient, proxy: Proxy
) -> None:
    """The count is read after the page, one ledger further on. Breaks if any lower count were another chain: the sync
    would wait for a person.
    """
    chain, (creator,) = sandbox.chain, wallets(1)
    chain.call(creator, "create_group", creator, chain.token, 50, DAY, 3, 0, 0, 0)
    chain.close_ledger()
    catch_up(client)
    behind = chain.replica()

    def another() -> None:
        chain.call(creator, "create_group", creator, chain.token, 50, DAY, 3, 0, 0, 0)
        chain.close_ledger()

    with proxy.failing(when("getEvents", and_then(another), times=1)):
        sync_pass(client)
    assert Checkpoint.objects.get().group_count == 2
    with Sandbox(behind) as lagging, proxy.failing(Mixed(lagging, "getEvents", "getLedgerEntries")):
        with pytest.raises(NodeLagging):
            sync_pass(client)
        assert Checkpoint.objects.get().halted == ""
    catch_up(client)
    assert equals_the_chain(sandbox)


def test_an_old_page_that_comes_again_does_not_lead_back(
    sandbox: Sandbox, client: SorobanClient, proxy: Proxy, settings: Settings
) -> None:
    """A cache in front of the node. Breaks without the cursor's check in `client.get_events`: the sync plays the same
    pages for ever.
    """
    settings.RPC_EVENTS_LIMIT = 5
    history = History(sandbox.chain, 5)
    history.walk(20)
    kept: list[Any] = []

    def first_page(exchange: Exchange) -> Reply:
        if exchange.call["params"]["pagination"]["limit"] == 1:
            return exchange.forward()
        if not kept:
            kept.append(json.loads(exchange.forward().body)["result"])
        return result(kept[0])(exchange)

    with proxy.failing(when("getEvents", first_page)):
        sync_pass(client)
        before = Checkpoint.objects.get().cursor
        with pytest.raises(RpcInvalidAnswer, match="leads back"):
            sync_pass(client)
    assert Checkpoint.objects.get().cursor == before
    catch_up(client)
    assert equals_the_chain(sandbox)
