"""Checks of a node's newest ledger against what the network can have reached.

Each ledger closes in a later second than the one before. A node that names a ledger thousands further on, a minute
after the network was last heard, is wrong. A wrong ledger that was once stored makes later correct answers look wrong.
A large jump is therefore confirmed by a second request, to another node if there is one, with a close time that fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from django.conf import settings
from django.db import connection

from ajo.conf.checks import SANDBOX_PASSPHRASE
from ajo.soroban.fields import U32_MAX
from ajo.soroban.models import LEDGER_SLACK, MIN_CLOSE_SECONDS, Checkpoint
from ajo.soroban.rpc.answers import Entries, EventPage
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.errors import NodeAhead, NodeLagging, RpcOutOfRange, WrongChain
from ajo.soroban.rpc.pool import nodes

JUMP_LEDGERS, JUMP_TIME = 60, timedelta(minutes=5)  # a pass that moves on by more is confirmed


def read_entries(client: SorobanClient, keys: Sequence[str], *, at_least: int = 0, heard: int = 0) -> Entries:
    """Return `SorobanClient.get_entries` of a ledger that the network can have reached. Raises NodeAhead.

    `heard` is as in check_possible_ledger.
    """
    answer = client.get_entries(keys, at_least=at_least)
    check_possible_ledger(client, answer.ledger, heard)
    return answer


def check_possible_ledger(client: SorobanClient, ledger: int, heard: int = 0) -> None:
    """Raise NodeAhead unless the network can have reached `ledger` since it was last heard, or a second request agrees.

    `heard`: a ledger of the network that the caller has from the tables. PostgreSQL is asked only about later ones.
    Nothing has been heard before the first page of events: then the second request decides.
    """
    if heard and ledger <= heard + LEDGER_SLACK:
        return
    if client.confirmed.reaches(ledger, MIN_CLOSE_SECONDS, LEDGER_SLACK):
        return
    newest = Checkpoint.objects.newest_possible()
    if ledger <= newest < U32_MAX:
        return
    again = nodes().second_opinion(client, lambda other: _newest_page(other, ledger))
    checkpoint = Checkpoint.objects.current()
    known = f"it can have reached {newest}" if newest < U32_MAX else "nothing was heard of it before"
    if again.latest_ledger < ledger - LEDGER_SLACK:
        raise NodeAhead(
            f"the node answers of ledger {ledger}; a second request says {again.latest_ledger}, and {known}"
        )
    if _is_future(again) or (checkpoint and not fits(checkpoint, again)):
        raise NodeAhead(f"the node answers of ledger {ledger}, whose close time does not fit what was heard before")
    client.confirmed.record(again.latest_ledger)


def newest_page(client: SorobanClient) -> EventPage:
    """Return a page that holds the node's newest ledger and its close time."""
    return _newest_page(client, client.get_health().latest_ledger)


def fits(checkpoint: Checkpoint, page: EventPage) -> bool:
    """Return whether the page can be of the followed chain, each of whose ledgers closes in a later second."""
    known = checkpoint.chain_closed_at
    if known is None or (page.latest_ledger, page.latest_closed_at) == (checkpoint.chain_ledger, known):
        return True
    ledgers, seconds = page.latest_ledger - checkpoint.chain_ledger, (page.latest_closed_at - known).total_seconds()
    return 0 < ledgers <= seconds or seconds <= ledgers < 0


def check_ledger_continuity(checkpoint: Checkpoint, page: EventPage) -> None:
    """Raise WrongChain for a page that is of another chain."""
    if not fits(checkpoint, page):
        raise WrongChain(
            f"the network began again: ledger {page.latest_ledger} closed at {page.latest_closed_at:%F %T}, "
            f"but we have seen ledger {checkpoint.chain_ledger} close at {checkpoint.chain_closed_at:%F %T}"
        )


def confirm_large_jump(client: SorobanClient, checkpoint: Checkpoint, page: EventPage) -> None:
    """Request a page from far ahead, as after an outage, a second time. Raises NodeLagging where the answers differ.

    A ledger that the network cannot have reached yet is confirmed by another node, if there is one. A close time in
    the future is never accepted.
    """
    known, ledger = checkpoint.chain_closed_at, page.latest_ledger
    newest = Checkpoint.objects.newest_possible()
    is_possible = ledger <= newest
    is_near = ledger - checkpoint.chain_ledger <= JUMP_LEDGERS
    if known and is_possible and is_near and page.latest_closed_at - known <= JUMP_TIME:
        return
    if _is_future(page):
        raise NodeLagging(f"the node's newest ledger closes in the future, at {page.latest_closed_at:%F %T}")
    if is_possible:
        again = _newest_page(client, ledger)
    else:
        again = nodes().second_opinion(client, lambda other: _newest_page(other, ledger))
    apart = abs(again.latest_ledger - ledger)
    if apart > settings.RPC_MAX_LAG or abs(again.latest_closed_at - page.latest_closed_at) > JUMP_TIME:
        raise NodeLagging("the node contradicts itself, or another node, about its newest ledger")
    client.confirmed.record(ledger)


def _newest_page(client: SorobanClient, ledger: int) -> EventPage:
    """Return a page with the node's newest ledger. It is requested from `ledger` on, or from the node's newest."""
    try:
        return client.get_events(settings.AJO_CONTRACT_ID, limit=1, start_ledger=ledger)
    except RpcOutOfRange as failure:
        return client.get_events(settings.AJO_CONTRACT_ID, limit=1, start_ledger=failure.latest)


def has_movable_clock() -> bool:
    """Return whether the network is a sandbox, whose clock may be moved on at any time."""
    return bool(settings.AJO_SANDBOX and settings.STELLAR_NETWORK_PASSPHRASE == SANDBOX_PASSPHRASE)


def _is_future(page: EventPage) -> bool:
    """Return whether the page closes in the future, by the database's clock."""
    if has_movable_clock():
        return False
    with connection.cursor() as cursor:  # there may be no table with a row yet to ask by
        cursor.execute("SELECT now()")
        return bool(page.latest_closed_at > cursor.fetchone()[0] + JUMP_TIME)
