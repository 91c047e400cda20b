"""The few facts that staff see first: what is followed, how far, and what is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.conf import settings
from django.db.models import DurationField, ExpressionWrapper, F, Max, QuerySet
from django.db.models.functions import Now

from ajo.adminkit.display import changelist_url, escape_invisible, short
from ajo.ops.heartbeats import Process, processes, silences
from ajo.ops.models import Heartbeat
from ajo.soroban.archival import archived, expiring_soon
from ajo.soroban.models import Checkpoint, HistoryGap, RpcNode, SyncRun, UndecodedEntry
from ajo.soroban.rpc.pool import KNOWN_PROTOCOL
from groups.models import Group, Token

MANY = 1000  # beyond it nobody counts
PREMIUMS = {"solvency": "premiums"}


@dataclass(frozen=True, slots=True)
class Fact:
    """`alarm`: somebody should look. `address`: where there is more."""

    name: str
    value: str
    alarm: bool = False
    address: str = ""


def panel() -> list[Fact]:
    """What the tables and the settings say now, in a handful of look-ups."""
    checkpoint = Checkpoint.objects.current()
    if checkpoint is None:
        return [
            Fact("Network", settings.STELLAR_NETWORK_PASSPHRASE),
            Fact("Contract", settings.AJO_CONTRACT_ID),
            Fact("Tables", "nothing has been read from the chain yet", alarm=True),
            _run(SyncRun.Kind.SYNC),
        ]
    behind = max(0, checkpoint.chain_ledger - checkpoint.ledger)
    heard = _silence()
    stale = heard is None or heard > settings.STALE_AFTER
    known = processes()
    why = [f"stopped: {checkpoint.halt_reason}"] if checkpoint.halt_reason else silences(known)
    return [
        Fact("Network", checkpoint.network_passphrase),
        Fact("Contract", checkpoint.contract + (" (paused)" if checkpoint.paused else "")),
        Fact("Groups made", str(checkpoint.group_count)),
        Fact("Sync", "; ".join(why) or "goes on", bool(why)),
        *_processes(known),
        Fact("Tables at ledger", f"{checkpoint.ledger}{'' if checkpoint.is_loaded else ', still loading'}"),
        Fact("Chain at ledger", f"{checkpoint.chain_ledger}, {behind} ahead of the tables"),
        Fact("Chain heard", "never" if heard is None else f"{heard:.0f} s ago{', stale' if stale else ''}", stale),
        _run(SyncRun.Kind.SYNC),
        _run(SyncRun.Kind.SWEEP),
        _run(SyncRun.Kind.DEEP_SWEEP),
        *_newer_protocol(),
        _short_tokens(),
        _some("Gaps in history", HistoryGap.objects.missing(), {"events": "missing"}),
        _some("Groups with rows that no entry proves", Group.objects.unconfirmed(), {"history": "unproven"}),
        _some("Undecoded entries", UndecodedEntry.objects.all()),
        _some(
            "Groups archived within a week",
            expiring_soon(Group.objects.all(), checkpoint.chain_ledger),
            {"life": "ends"},
        ),
        _some("Groups archived", archived(Group.objects.all(), checkpoint.chain_ledger), {"life": "archived"}),
        Fact("Drift that sweeps found", ", ".join(f"{kind} {found}" for kind, found in checkpoint.drift.items())),
    ]


def _processes(known: Sequence[Process]) -> list[Fact]:
    """One fact for each part that was ever heard of: how many run, and who fell silent."""
    facts = []
    for part in Heartbeat.ManagedProcess:
        ours = [each for each in known if each.part == part]
        silent = [f"{each.name} silent for {abs(each.age):.0f} s" for each in ours if each.is_silent]
        words = ", ".join([f"{len(ours) - len(silent)} run", *silent])
        facts += [Fact(part.label, words, bool(silent), changelist_url(Heartbeat, {}))] * bool(ours)
    return facts


def _short_tokens() -> Fact:
    """Alarm by what nobody can explain; the contract books premiums that it collects from nobody, by its own rules."""
    fact = _some("Tokens of which less is held than owed", Token.objects.short(), {"solvency": "short"})
    premiums = _some("", Token.objects.short_of_premiums())
    if not premiums.alarm:
        return fact
    words = f"{fact.value}, and {premiums.value} by premiums alone that the contract booked and collected from nobody"
    return replace(fact, value=words, address=fact.address if fact.alarm else changelist_url(Token, PREMIUMS))


def _newer_protocol() -> list[Fact]:
    """Nothing while stellar-sdk knows what the network speaks."""
    newest = RpcNode.objects.filter(protocol_version__gt=KNOWN_PROTOCOL).aggregate(newest=Max("protocol_version"))
    if newest["newest"] is None:
        return []
    words = f"{newest['newest']}, newer than the {KNOWN_PROTOCOL} that this version knows"
    return [Fact("Network's protocol", words, alarm=True, address=changelist_url(RpcNode, {}))]


def _silence() -> float | None:
    """Seconds since the chain was heard from, by the database's clock."""
    silence = ExpressionWrapper(Now() - F("heard_at"), output_field=DurationField())
    found = Checkpoint.objects.order_by("id").annotate(silence=silence).values_list("silence", flat=True).first()
    return None if found is None else found.total_seconds()


def _run(kind: SyncRun.Kind) -> Fact:
    """The newest run that ended."""
    last = SyncRun.objects.filter(kind=kind).ended().first()
    address = changelist_url(SyncRun, {"runs": kind.value})
    if last is None:
        return Fact(f"Last {kind.label.lower()}", "none has ended yet", address=address)
    ended = f" at {last.finished_at:%Y-%m-%d %H:%M:%S}" if last.finished_at else ""
    why = f": {short(escape_invisible(last.reason), 200)}" if last.reason else ""
    failed = last.outcome == SyncRun.Outcome.FAILED
    return Fact(f"Last {kind.label.lower()}", f"{last.get_outcome_display().lower()}{ended}{why}", failed, address)


def _some(name: str, rows: QuerySet[Any], within: Mapping[str, str] | None = None) -> Fact:
    """How many there are, as far as anyone counts."""
    found = len(rows.values_list("pk")[: MANY + 1])
    text = f"more than {MANY}" if found > MANY else str(found)
    return Fact(name, text, alarm=found > 0, address=changelist_url(rows.model, within or {}))
