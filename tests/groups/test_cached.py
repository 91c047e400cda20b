"""A group that the tables do not have is read from the chain, once, and a client is told nothing of the nodes."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client
from pytest_django import Settings

from ajo import cache
from ajo.soroban.rpc.client import SorobanClient
from devtools.sandbox.sandbox import Sandbox
from groups.cached import group_answer
from groups.models import Group
from tests.support.answers import count_calls
from tests.support.faults import error, when
from tests.support.following import catch_up, make_groups
from tests.support.nodes import use_nodes
from tests.support.proxy import Proxy

pytestmark = pytest.mark.django_db(transaction=True)


def test_an_unknown_group_is_read_from_the_chain_once_and_an_impossible_one_never(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    make_groups(sandbox, 2)
    catch_up(client_of_chain)
    Group.objects.filter(pk=2).delete()
    cache.invalidate_all()
    calls = count_calls(sandbox)
    assert b'"id":"2"' in group_answer(2).body
    assert calls == {"getNetwork": 1, "getLedgerEntries": 2}
    assert b'"id":"2"' in group_answer(2).body
    with pytest.raises(cache.Absent):
        group_answer(3)
    assert calls == {"getNetwork": 1, "getLedgerEntries": 2}


def test_a_group_of_a_moment_ago_is_found_with_its_ledger_and_without_it_after_the_next_pass(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    make_groups(sandbox, 1)
    catch_up(client_of_chain)
    make_groups(sandbox, 2)
    with pytest.raises(cache.Absent):
        group_answer(2)
    assert b'"id":"2"' in group_answer(2, min_ledger=sandbox.chain.latest).body
    assert b'"id":"2"' in group_answer(2).body
    with pytest.raises(cache.Absent):
        group_answer(3)
    catch_up(client_of_chain)
    assert b'"id":"3"' in group_answer(3).body


def test_a_nodes_words_are_told_to_no_client(sandbox: Sandbox, settings: Settings) -> None:
    with Proxy(sandbox.url) as node:
        use_nodes(settings, node)
        refused = node.failing(when("getLedgerEntries", error(-32000, "invalid key abc123")))
        with refused, pytest.raises(cache.Unavailable) as unavailable:
            group_answer(1)
    assert unavailable.value.detail == "The chain cannot be read now."


def test_a_database_that_takes_no_changes_is_no_fault_of_ours(sandbox: Sandbox, client: Client) -> None:
    """The tables do not have the group, and the database is read-only, as after a failover. Breaks as 500."""
    make_groups(sandbox, 1)
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
    try:
        response = client.get("/api/v1/groups/1/")
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SET default_transaction_read_only = off")
    assert (response.status_code, "Retry-After" in response.headers) == (503, True)
