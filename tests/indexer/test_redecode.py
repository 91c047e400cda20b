"""Entries that this version cannot decode: stored, shown to nobody as the truth, and resolved once they can be read."""

import base64

import pytest
from django.test import Client

from ajo import cache
from ajo.indexer.follow import sync_pass
from ajo.indexer.redecode import redecode
from ajo.indexer.verify import sweep_groups
from ajo.indexer.verify_history import sweep_deep
from ajo.soroban.contract.keys import GroupKey, InstanceKey, MetadataKey, RefundKey, RefundRequestKey
from ajo.soroban.models import SyncRun, UndecodedEntry
from ajo.soroban.rpc.client import SorobanClient
from contributions.models import Contribution, Refund
from devtools.sandbox.sandbox import Sandbox
from groups.cached import group_answer
from groups.models import Group
from tests.support.answers import corrupt_answer
from tests.support.following import assert_equal, catch_up, corrupt_entry, make_groups, read_entry, write_entry
from tests.support.histories import DAY
from tests.support.wallets import wallets

pytestmark = pytest.mark.django_db(transaction=True)
API = "/api/v1"


def test_what_cannot_be_decoded_is_stored_and_the_rest_goes_on(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    make_groups(sandbox, 3)
    corrupt_entry(sandbox, GroupKey(2))
    catch_up(client_of_chain)
    assert sorted(Group.objects.values_list("id", flat=True)) == [1, 3]
    assert UndecodedEntry.objects.get().group_id == 2
    with pytest.raises(cache.Unavailable):
        group_answer(2)


def test_what_was_stored_undecoded_is_resolved_with_its_history(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    make_groups(sandbox, 2)
    (creator,) = wallets(1)
    sandbox.chain.fund(creator)
    sandbox.chain.call(creator, "contribute", creator, 2)
    sandbox.chain.close_ledger()
    whole = read_entry(sandbox, GroupKey(2))
    corrupt_entry(sandbox, GroupKey(2))
    catch_up(client_of_chain)
    assert not Contribution.objects.exists()
    assert redecode(lambda read: read(client_of_chain)) == (0, 1)
    write_entry(sandbox, GroupKey(2), whole)
    assert redecode(lambda read: read(client_of_chain)) == (1, 0)
    assert Contribution.objects.get().event_id
    run = SyncRun.objects.filter(kind=SyncRun.Kind.REDECODE).latest("id")
    assert (run.outcome, run.counts["decoded"], run.counts["undecoded"]) == (SyncRun.Outcome.OK, 1, 0)
    assert_equal(sandbox)


@pytest.mark.parametrize("kind", [GroupKey, RefundRequestKey])
def test_a_group_that_becomes_unreadable_is_shown_to_nobody_until_it_can_be_read_again(
    sandbox: Sandbox, client_of_chain: SorobanClient, client: Client, kind: type[GroupKey | RefundRequestKey]
) -> None:
    make_groups(sandbox, 2)
    creator, second = wallets(2)
    for wallet in (creator, second):
        sandbox.chain.fund(wallet)
    sandbox.chain.call(second, "join_group", second, 1)
    sandbox.chain.call(creator, "contribute", creator, 1)
    sandbox.chain.advance(2 * DAY)
    sandbox.chain.close_ledger()
    sandbox.chain.call(creator, "request_refund", creator, 1)
    sandbox.chain.close_ledger()
    catch_up(client_of_chain)
    stored_state = client.get(f"{API}/groups/1/").json()  # and in Redis now
    whole = read_entry(sandbox, kind(1))
    sandbox.chain.call(second, "contribute", second, 1)
    sandbox.chain.close_ledger()
    corrupt_entry(sandbox, kind(1))
    catch_up(client_of_chain)
    for path in ("groups/1/", "groups/1/members/", f"users/{second}/dues/", "groups/1/?min_ledger=1"):
        answer = client.get(f"{API}/{path}")
        assert (path, answer.status_code, answer["Retry-After"]) == (path, 503, "300")
    assert [group["id"] for group in client.get(f"{API}/groups/").json()["results"]] == ["2"]
    assert client.get(f"{API}/users/{second}/groups/").json()["results"] == []
    assert client.get(f"{API}/groups/2/").status_code == 200
    assert Contribution.objects.count() == 2  # what events tell needs no entry

    write_entry(sandbox, kind(1), whole)
    sandbox.chain.close_ledger()
    sweep = sweep_groups if kind is GroupKey else sweep_deep  # the GROUP entry does not tell of a request
    list(sweep(lambda read: read(client_of_chain), [1]))
    sandbox.chain.close_ledger()
    sync_pass(client_of_chain)
    again = client.get(f"{API}/groups/1/").json()
    assert again["contributions_received"] == 2
    assert again["refund_request"] == stored_state["refund_request"]
    assert Contribution.objects.exclude(event_id=None).count() == 2
    assert not UndecodedEntry.objects.exists()
    assert_equal(sandbox)


def test_an_unreadable_name_is_blank_and_hides_no_amount(
    sandbox: Sandbox, client_of_chain: SorobanClient, client: Client
) -> None:
    make_groups(sandbox, 1)
    (creator,) = wallets(1)
    sandbox.chain.call(creator, "set_group_metadata", 1, b"name", b"what for", b"rules")
    sandbox.chain.close_ledger()
    corrupt_entry(sandbox, MetadataKey(1))
    catch_up(client_of_chain)
    group = client.get(f"{API}/groups/1/").json()
    assert (group["name"], group["contribution_amount"]) == ("", "50")
    assert UndecodedEntry.objects.get().group_id == 1
    assert client.get(f"{API}/status/").json()["undecoded"] == 1


def test_a_refund_that_was_stored_undecoded_is_recovered(sandbox: Sandbox, client_of_chain: SorobanClient) -> None:
    make_groups(sandbox, 1)
    (creator,) = wallets(1)
    sandbox.chain.fund(creator)
    sandbox.chain.call(creator, "contribute", creator, 1)
    sandbox.chain.call(creator, "cancel_group", creator, 1)
    sandbox.chain.close_ledger()
    catch_up(client_of_chain)
    key = RefundKey(1, creator)
    whole = read_entry(sandbox, key)
    Refund.objects.all().delete()
    corrupt_entry(sandbox, key)
    list(sweep_deep(lambda read: read(client_of_chain)))
    assert base64.b64decode(UndecodedEntry.objects.get().key)
    sandbox.chain.close_ledger()
    Group.objects.update(synced_ledger=sandbox.chain.latest)
    sync_pass(client_of_chain)  # its group was read since, which says nothing of the refund
    assert redecode(lambda read: read(client_of_chain)) == (0, 1)
    write_entry(sandbox, key, whole)
    assert redecode(lambda read: read(client_of_chain)) == (1, 0)
    assert Refund.objects.get().amount == 50


def test_a_group_that_another_node_can_read_at_the_same_ledger_is_taken_up(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    make_groups(sandbox, 1)
    (creator,) = wallets(1)
    sandbox.chain.fund(creator)
    sandbox.chain.call(creator, "contribute", creator, 1)
    sandbox.chain.close_ledger()
    whole = read_entry(sandbox, GroupKey(1))
    corrupt_entry(sandbox, GroupKey(1))
    catch_up(client_of_chain)
    assert not Contribution.objects.exists()
    write_entry(sandbox, GroupKey(1), whole)
    list(sweep_groups(lambda read: read(client_of_chain)))
    sandbox.chain.close_ledger()
    sync_pass(client_of_chain)
    assert Contribution.objects.get().event_id
    assert not UndecodedEntry.objects.exists()
    assert_equal(sandbox)


def test_a_refund_waits_until_its_round_can_be_read(sandbox: Sandbox, client_of_chain: SorobanClient) -> None:
    make_groups(sandbox, 1)
    (creator,) = wallets(1)
    sandbox.chain.fund(creator)
    sandbox.chain.call(creator, "contribute", creator, 1)
    sandbox.chain.close_ledger()
    catch_up(client_of_chain)
    sandbox.chain.call(creator, "cancel_group", creator, 1)
    sandbox.chain.close_ledger()
    whole = read_entry(sandbox, GroupKey(1))
    corrupt_entry(sandbox, GroupKey(1))
    catch_up(client_of_chain)
    assert not Refund.objects.exists()
    write_entry(sandbox, GroupKey(1), whole)
    list(sweep_groups(lambda read: read(client_of_chain)))
    sandbox.chain.close_ledger()
    sync_pass(client_of_chain)
    assert Refund.objects.get().event_id
    assert_equal(sandbox)


def test_an_instance_that_was_stored_undecoded_is_resolved(sandbox: Sandbox, client_of_chain: SorobanClient) -> None:
    make_groups(sandbox, 1)
    catch_up(client_of_chain)
    key = InstanceKey().to_xdr(sandbox.contract)
    UndecodedEntry.objects.create(key=key, group_id=None, xdr="AAAA", error="not known then", ledger=1)
    assert redecode(lambda read: read(client_of_chain)) == (1, 0)


def test_an_entry_of_the_contract_itself_that_could_not_be_read_once_is_settled(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    make_groups(sandbox, 1)
    catch_up(client_of_chain)
    own = InstanceKey().to_xdr(sandbox.contract)
    corrupt_answer(
        sandbox, "getLedgerEntries",
        lambda answer: [each.update(xdr="AAAA") for each in answer["entries"] if each["key"] == own],
    )  # fmt: skip
    for undecoded in (1, 0):
        sandbox.chain.close_ledger()
        catch_up(client_of_chain)
        assert UndecodedEntry.objects.count() == undecoded
