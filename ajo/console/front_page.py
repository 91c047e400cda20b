"""The admin's front page: what is followed, how far, and what is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.conf import settings
from django.db.models import Max, QuerySet

from ajo.adminkit.display import changelist_url, escape_invisible, short
from ajo.ops.facts import last_run, sync_position
from ajo.ops.heartbeats import Process, process_problems, processes
from ajo.ops.models import Heartbeat
from ajo.soroban.archival import archived, expiring_soon
from ajo.soroban.models import HistoryGap, RpcNode, SyncRun, UndecodedEntry
from ajo.soroban.rpc.pool import KNOWN_PROTOCOL
from groups.models import Group, Token

MAX_COUNT = 1000  # rows; more are shown as "more than"


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of the panel. `alarm`: a person should look at it. `address`: a page with more."""

    name: str
    value: str
    alarm: bool = False
    address: str = ""


def panel() -> list[Fact]:
    """Return the facts in the order of the page. The number of queries does not depend on the rows."""
    position = sync_position()
    if position is None:
        return [
            Fact("Network", settings.STELLAR_NETWORK_PASSPHRASE),
            Fact("Contract", settings.AJO_CONTRACT_ID),
            Fact("Tables", "nothing has been read from the chain yet", alarm=True),
            _run_fact(SyncRun.Kind.SYNC),
        ]
    checkpoint, silence = position.checkpoint, position.chain_silence
    stale = silence is None or silence > settings.STALE_AFTER
    known = processes()
    problems = [f"stopped: {checkpoint.halt_reason}"] if checkpoint.halt_reason else process_problems(known)
    return [
        Fact("Network", checkpoint.network_passphrase),
        Fact("Contract", checkpoint.contract + (" (paused)" if checkpoint.paused else "")),
        Fact("Groups made", str(checkpoint.group_count)),
        Fact("Sync", "; ".join(problems) or "goes on", bool(problems)),
        *_process_facts(known),
        Fact("Tables at ledger", f"{checkpoint.ledger}{'' if checkpoint.is_loaded else ', still loading'}"),
        Fact("Chain at ledger", f"{checkpoint.chain_ledger}, {position.ledgers_behind} ahead of the tables"),
        Fact("Chain heard", "never" if silence is None else f"{silence:.0f} s ago{', stale' if stale else ''}", stale),
        _run_fact(SyncRun.Kind.SYNC),
        _run_fact(SyncRun.Kind.SWEEP),
        _run_fact(SyncRun.Kind.DEEP_SWEEP),
        *_newer_protocol(),
        _short_tokens_fact(),
        _count_fact("Gaps in history", HistoryGap.objects.missing(), {"events": "missing"}),
        _count_fact("Groups with rows that no entry proves", Group.objects.unconfirmed(), {"history": "unproven"}),
        _count_fact("Undecoded entries", UndecodedEntry.objects.all()),
        _count_fact(
            "Groups archived within a week",
            expiring_soon(Group.objects.all(), checkpoint.chain_ledger),
            {"life": "ends"},
        ),
        _count_fact("Groups archived", archived(Group.objects.all(), checkpoint.chain_ledger), {"life": "archived"}),
        Fact("Drift that sweeps found", ", ".join(f"{kind} {found}" for kind, found in checkpoint.drift.items())),
    ]


def _process_facts(known: Sequence[Process]) -> list[Fact]:
    """Return a fact for each part with a heartbeat: how many processes run, and which ones are silent."""
    facts = []
    for part in Heartbeat.ManagedProcess:
        ours = [each for each in known if each.part == part]
        silent = [f"{each.name} silent for {abs(each.age):.0f} s" for each in ours if each.is_silent]
        words = ", ".join([f"{len(ours) - len(silent)} run", *silent])
        facts += [Fact(part.label, words, bool(silent), changelist_url(Heartbeat, {}))] * bool(ours)
    return facts


def _short_tokens_fact() -> Fact:
    """Return the count of short tokens. Those short by booked premiums alone are named without an alarm.

    The contract books premiums without collecting them (docs/chain.md §1.3).
    """
    fact = _count_fact("Tokens of which less is held than owed", Token.objects.short(), {"solvency": "short"})
    premiums = _count_fact("", Token.objects.short_of_premiums())
    if not premiums.alarm:
        return fact
    words = f"{fact.value}, and {premiums.value} by premiums alone that the contract booked and collected from nobody"
    return replace(
        fact, value=words, address=fact.address if fact.alarm else changelist_url(Token, {"solvency": "premiums"})
    )


def _newer_protocol() -> list[Fact]:
    """Return a fact while the network speaks a newer protocol than stellar-sdk knows, else none."""
    newest = RpcNode.objects.filter(protocol_version__gt=KNOWN_PROTOCOL).aggregate(newest=Max("protocol_version"))
    if newest["newest"] is None:
        return []
    words = f"{newest['newest']}, newer than the {KNOWN_PROTOCOL} that this version knows"
    return [Fact("Network's protocol", words, alarm=True, address=changelist_url(RpcNode, {}))]


def _run_fact(kind: SyncRun.Kind) -> Fact:
    """Return how the newest run of this kind that ended came out."""
    last = last_run(kind)
    address = changelist_url(SyncRun, {"runs": kind.value})
    if last is None:
        return Fact(f"Last {kind.label.lower()}", "none has ended yet", address=address)
    ended = f" at {last.finished_at:%Y-%m-%d %H:%M:%S}" if last.finished_at else ""
    reason = f": {short(escape_invisible(last.reason), 200)}" if last.reason else ""
    failed = last.outcome == SyncRun.Outcome.FAILED
    return Fact(f"Last {kind.label.lower()}", f"{last.get_outcome_display().lower()}{ended}{reason}", failed, address)


def _count_fact(name: str, rows: QuerySet[Any], lookups: Mapping[str, str] | None = None) -> Fact:
    """Return the number of rows, counted up to MAX_COUNT, with a link to them. Any row is an alarm."""
    count = len(rows.values_list("pk")[: MAX_COUNT + 1])
    text = f"more than {MAX_COUNT}" if count > MAX_COUNT else str(count)
    return Fact(name, text, alarm=count > 0, address=changelist_url(rows.model, lookups or {}))
