"""A sending by several nodes: which of them may have taken it, and which are left for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.test import Client
from pytest_django import Settings

from ajo.soroban.models import ChainTransaction, Checkpoint, RpcNode
from ajo.transactions.sending import RESEND_LEDGERS, send
from devtools.sandbox.sandbox import Sandbox
from tests.support.faults import error, when
from tests.support.nodes import use_nodes
from tests.support.proxy import Exchange, Fault, NoAnswer, Proxy, Reply
from tests.support.sending import BOB, joining, sandbox
from tests.support.submitting import followed, post

__all__ = ["followed", "sandbox"]
UNREADABLE = error(-32602, "invalid_xdr")


def lost(exchange: Exchange) -> Reply:
    """Take the transaction, and lose the answer."""
    exchange.forward()
    raise NoAnswer


def passes(exchange: Exchange) -> Reply:
    return exchange.forward()


@contextmanager
def two_nodes(followed: Sandbox, settings: Settings, first: Fault, second: Fault | None = None) -> Iterator[None]:
    """Have the first of two nodes, or both, fail at sendTransaction."""
    with Proxy(followed.url) as one, Proxy(followed.url) as other, one.failing(when("sendTransaction", first)):
        use_nodes(settings, one, other)
        with other.failing(when("sendTransaction", second or passes)):
            yield


def test_what_no_node_can_read_is_rejected_and_no_node_is_left_for_it(
    client: Client, followed: Sandbox, settings: Settings
) -> None:
    """Breaks if the second asking counted as a second sending, or if such posts kept everybody from the nodes."""
    with two_nodes(followed, settings, UNREADABLE, UNREADABLE):
        shown = post(client, joining(followed, BOB)).json()
    assert (shown["status"], shown["code"], shown["attempts"]) == ("rejected", "malformed", 2)
    assert not RpcNode.objects.backing_off().exists()


def test_what_one_node_cannot_read_another_takes(client: Client, followed: Sandbox, settings: Settings) -> None:
    with two_nodes(followed, settings, UNREADABLE):
        shown = post(client, joining(followed, BOB)).json()
    assert (shown["status"], shown["last_answer"], shown["attempts"]) == ("pending", "PENDING", 2)


def test_what_a_first_node_may_have_taken_no_second_one_refuses(
    client: Client, followed: Sandbox, settings: Settings
) -> None:
    with two_nodes(followed, settings, lost, UNREADABLE):
        shown = post(client, joining(followed, BOB)).json()
    assert (shown["status"], shown["attempts"]) == ("pending", 2)


def test_a_lost_answer_after_it_was_queued_waits_for_the_end_of_a_ban(
    client: Client, followed: Sandbox, settings: Settings
) -> None:
    """Breaks if an answer without a ledger counted as one of ledger 0: it would be sent again at each ledger."""
    envelope = joining(followed, BOB)
    assert post(client, envelope).json()["last_answer"] == "PENDING"
    heard = Checkpoint.objects.get().chain_ledger + 2
    with Proxy(followed.url) as proxy, proxy.failing(when("sendTransaction", lost)):
        use_nodes(settings, proxy)
        send(ChainTransaction.objects.get(), is_first_send=False, heard=heard)
    row = ChainTransaction.objects.get()
    assert (row.attempts, row.next_send_ledger) == (2, heard + RESEND_LEDGERS)
