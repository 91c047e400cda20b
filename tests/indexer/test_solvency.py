"""Solvency: what the contract holds of each token against what it owes, at one ledger."""

from __future__ import annotations

import base64

import pytest
from pytest_django import Settings
from stellar_sdk import Address, scval
from stellar_sdk.xdr import ContractDataDurability, ContractDataEntry, ExtensionPoint, LedgerEntryData, LedgerEntryType

from ajo.indexer.runs import Counts
from ajo.indexer.solvency import check_solvency
from ajo.indexer.verify_history import sweep_deep
from ajo.soroban.contract.keys import BalanceKey, GroupKey
from ajo.soroban.models import Checkpoint
from ajo.soroban.rpc.client import SorobanClient
from devtools.sandbox.sandbox import Sandbox
from groups.models import Group, Token
from tests.support.following import catch_up, corrupt_entry, make_groups, make_paid_round
from tests.support.histories import DAY
from tests.support.wallets import wallets

pytestmark = pytest.mark.django_db(transaction=True)


def test_what_the_contract_holds_less_than_it_owes_is_counted(sandbox: Sandbox, client_of_chain: SorobanClient) -> None:
    chain = sandbox.chain
    (creator,) = wallets(1)
    chain.fund(creator)
    chain.call(creator, "create_group", creator, chain.token, 5000, DAY, 3, 0, 0, 0)
    chain.call(creator, "create_group", creator, chain.token, 7000, DAY, 3, 0, 0, 100)
    chain.call(creator, "contribute", creator, 1)
    chain.close_ledger()
    catch_up(client_of_chain)
    counts = Counts()
    check_solvency(Checkpoint.objects.get(), counts, client_of_chain, list(Token.objects.all()))
    token = Token.objects.get()
    assert (token.balance, int(token.owed), counts["insolvent_tokens"]) == (5000, 5000, 0)
    # the premium is booked in the pool and collected from nobody: the contract's own shortfall, and no alarm
    chain.call(creator, "contribute", creator, 2)
    chain.close_ledger()
    catch_up(client_of_chain)
    check_solvency(Checkpoint.objects.get(), counts, client_of_chain, list(Token.objects.all()))
    token.refresh_from_db()
    assert (token.balance, int(token.owed), counts["insolvent_tokens"]) == (12000, 12070, 0)
    assert int(token.booked_premiums) == 70


def test_balances_of_a_ledger_that_the_tables_have_not_reached_are_compared_with_nothing(
    sandbox: Sandbox, client_of_chain: SorobanClient, settings: Settings
) -> None:
    """Breaks if a debt from before stood beside a balance from after: whoever is paid out in between would be a
    shortfall.
    """
    settings.SYNC_INTERVAL = 0
    chain, members = sandbox.chain, wallets(2)
    for member in members:
        chain.fund(member)
    chain.call(members[0], "create_group", members[0], chain.token, 50, DAY, 2, 0, 0, 0)
    chain.call(members[1], "join_group", members[1], 1)
    for member in members:
        chain.call(member, "contribute", member, 1)
    chain.close_ledger()
    catch_up(client_of_chain)
    list(sweep_deep(lambda read: read(client_of_chain)))
    before = Token.objects.values().get()
    assert before["balance"] == before["owed"] == 100
    chain.advance(2 * DAY)
    chain.call(members[0], "execute_payout", 1)
    chain.close_ledger()
    check_solvency(Checkpoint.objects.get(), Counts(), client_of_chain, list(Token.objects.all()))
    assert Token.objects.values().get() == before
    catch_up(client_of_chain)
    list(sweep_deep(lambda read: read(client_of_chain)))
    after = Token.objects.get()
    assert after.balance == int(after.owed) == 0


def test_a_token_that_a_group_collects_which_nobody_can_read_is_not_judged(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    """Breaks if the debt of what the table last had were compared with the balance of now."""
    chain, first = sandbox.chain, make_paid_round(sandbox)
    catch_up(client_of_chain)
    chain.advance(2 * DAY)
    assert chain.call(first, "execute_payout", 1).error is None
    chain.close_ledger()
    corrupt_entry(sandbox, GroupKey(1))
    catch_up(client_of_chain)
    assert Group.objects.get().unreadable_since is not None
    check_solvency(Checkpoint.objects.get(), Counts(), client_of_chain, list(Token.objects.all()))
    assert not Token.objects.short().exists()


def test_a_token_with_an_absurd_balance_stops_no_deep_sweep(sandbox: Sandbox, client_of_chain: SorobanClient) -> None:
    """A group's creator chooses its token, and a token contract may keep anything under its keys."""
    make_groups(sandbox, 1)
    catch_up(client_of_chain)
    key = BalanceKey(sandbox.contract).to_xdr(sandbox.chain.token)
    for absurd in (scval.to_uint256(2**256 - 1), scval.to_int256(-(2**255)), scval.to_bool(True), scval.to_vec([])):
        entry = LedgerEntryData(
            LedgerEntryType.CONTRACT_DATA,
            contract_data=ContractDataEntry(
                ext=ExtensionPoint(0),
                contract=Address(sandbox.chain.token).to_xdr_sc_address(),
                key=scval.to_vec([scval.to_symbol("Balance"), scval.to_address(sandbox.contract)]),
                durability=ContractDataDurability.PERSISTENT,
                val=absurd,
            ),
        )
        with sandbox.chain.store.ledger():
            sandbox.chain.put_entry(sandbox.chain.latest, base64.b64decode(key), entry.to_xdr())
        list(sweep_deep(lambda read: read(client_of_chain)))
        assert Token.objects.get().balance is None
