"""Health of the service as tiles of the front page, and the verdict that is drawn from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from django.conf import settings
from django.db.models import Max, QuerySet

from ajo.adminkit.display import changelist_url, escape_invisible, short
from ajo.adminkit.words import duration
from ajo.ops.facts import NodeState, SyncPosition, last_run, node_states, sync_position
from ajo.ops.heartbeats import Process, process_problems, processes
from ajo.ops.models import Heartbeat
from ajo.soroban.archival import archived, expiring_soon
from ajo.soroban.models import Checkpoint, HistoryGap, RpcNode, SyncRun, UndecodedEntry
from ajo.soroban.rpc.pool import KNOWN_PROTOCOL
from groups.admin_columns import token_text
from groups.models import Group, Token

MAX_COUNT: Final = 1000  # rows; more are shown as "more than"
MAX_REASONS: Final = 4  # of a verdict
MAX_TOKENS: Final = 3  # that are told in words; their table has the others


class Level(IntEnum):
    """How much a tile asks of a person: nothing, to keep an eye on it, or to act now."""

    WELL = 0
    DEGRADED = 1
    ACT = 2


@dataclass(frozen=True, slots=True)
class Tile:
    """One fact. `address`: a page with more. `todo`: what a person can do about it, where it is not well."""

    name: str
    value: str
    level: Level = Level.WELL
    address: str = ""
    todo: str = ""

    @property
    def tone(self) -> str:
        """Return the level as a CSS class."""
        return self.level.name.lower()


@dataclass(frozen=True, slots=True)
class Verdict:
    """The one line above all: the worst level of the tiles, and the tiles that have it."""

    level: Level
    words: str
    reasons: Sequence[Tile]

    @property
    def tone(self) -> str:
        """Return the level as a CSS class."""
        return self.level.name.lower()


_WORDS: Final = {Level.WELL: "All well", Level.DEGRADED: "Degraded", Level.ACT: "Act now"}


def verdict(tiles: Sequence[Tile]) -> Verdict:
    """Return the verdict on these tiles."""
    level = max(tile.level for tile in tiles)
    return Verdict(level, _WORDS[level], [tile for tile in tiles if tile.level == level][:MAX_REASONS] if level else [])


def health_tiles() -> list[Tile]:
    """Return the tiles in the order of the page. The number of queries does not depend on the rows."""
    position = sync_position()
    if position is None:
        todo = "The first pass fills the tables: is the worker running, and does SOROBAN_RPC_URL answer?"
        return [
            Tile("Network", settings.STELLAR_NETWORK_PASSPHRASE),
            Tile("Contract", settings.AJO_CONTRACT_ID),
            Tile("Tables", "nothing has been read from the chain yet", Level.ACT, todo=todo),
            _run_tile(SyncRun.Kind.SYNC),
        ]
    checkpoint = position.checkpoint
    known = processes()
    return [
        _sync_tile(position, process_problems(known)),
        *_process_tiles(known),
        *_chain_tiles(position),
        _nodes_tile(node_states()),
        *_newer_protocol(),
        *(_run_tile(kind) for kind in (SyncRun.Kind.SYNC, SyncRun.Kind.SWEEP, SyncRun.Kind.DEEP_SWEEP)),
        _solvency_tile(),
        *_count_tiles(checkpoint.chain_ledger),
        _drift_tile(checkpoint),
        Tile("Network", checkpoint.network_passphrase),
        Tile("Contract", checkpoint.contract + (" (paused)" if checkpoint.paused else "")),
        Tile("Groups made", str(checkpoint.group_count)),
    ]


def _sync_tile(position: SyncPosition, problems: Sequence[str]) -> Tile:
    if reason := position.checkpoint.halt_reason:
        return Tile("Sync", f"stopped: {reason}", Level.ACT, changelist_url(SyncRun, {"runs": "sync"}))
    if problems:
        todo = "Restart what is silent; its log says what it did last."
        return Tile("Sync", "; ".join(problems), Level.ACT, changelist_url(Heartbeat, {}), todo)
    return Tile("Sync", "goes on")


def _process_tiles(known: Sequence[Process]) -> list[Tile]:
    """Return a tile for each part with a heartbeat: how many processes run, and which ones are silent."""
    tiles = []
    for part in Heartbeat.ManagedProcess:
        ours = [each for each in known if each.part == part]
        silent = [f"{each.name} silent for {_seconds(abs(each.age))}" for each in ours if each.is_silent]
        busy = [each.doing for each in ours if each.doing and not each.is_silent]
        words = ", ".join([f"{len(ours) - len(silent)} run", *silent]) + f": {'; '.join(busy)}" * bool(busy)
        level = Level.DEGRADED if silent else Level.WELL
        tiles += [Tile(part.label, words, level, changelist_url(Heartbeat, {}))] * bool(ours)
    return tiles


def _seconds(seconds: float) -> str:
    """Return a silence as readiness tells it, or by larger units where it is long."""
    return f"{seconds:.0f} s" if seconds < 600 else duration(seconds)


def _chain_tiles(position: SyncPosition) -> list[Tile]:
    checkpoint, silence = position.checkpoint, position.chain_silence
    stale = silence is None or silence > settings.STALE_AFTER
    heard = "never" if silence is None else f"{duration(silence)} ago{', stale' if stale else ''}"
    is_behind = position.ledgers_behind > settings.RPC_MAX_LAG
    return [
        Tile("Tables at ledger", f"{checkpoint.ledger}{'' if checkpoint.is_loaded else ', still loading'}"),
        Tile(
            "Chain at ledger",
            f"{checkpoint.chain_ledger}, {position.ledgers_behind} ahead of the tables",
            Level.DEGRADED if is_behind else Level.WELL,
        ),
        Tile("Chain heard", heard, Level.DEGRADED if stale else Level.WELL, changelist_url(RpcNode, {})),
    ]


def _nodes_tile(nodes: Sequence[NodeState]) -> Tile:
    failing = [node.name for node in nodes if node.is_backing_off]
    words = f"{len(nodes) - len(failing)} of {len(nodes)} answer"
    level = Level.WELL if not failing else Level.ACT if len(failing) == len(nodes) else Level.DEGRADED
    return Tile("RPC nodes", words, level, changelist_url(RpcNode, {}), "Its row says what it answered last.")


def _solvency_tile() -> Tile:
    """Return in words of which tokens less is held than owed. Booked premiums alone raise no alarm.

    The contract books premiums without collecting them (docs/chain.md §1.3).
    """
    name, short_tokens = "Held against owed", Token.objects.short()
    wanted = slice(MAX_TOKENS + 1)  # one more tells that there are more
    told = [*short_tokens.order_by("id")[wanted], *Token.objects.short_of_premiums().order_by("id")[wanted]]
    if not told:
        return Tile(name, "every token covers what is owed", address=changelist_url(Token, {}))
    unexplained = short_tokens.exists()
    return Tile(
        name,
        "; ".join(_shortage(token) for token in told[:MAX_TOKENS]) + ("; and more" if len(told) > MAX_TOKENS else ""),
        Level.ACT if unexplained else Level.WELL,
        changelist_url(Token, {"solvency": "short" if unexplained else "premiums"}),
        "Refunds of finished groups and approved insurance claims take from other groups: their events say which.",
    )


def _shortage(token: Token) -> str:
    missing = int(token.owed) - int(token.balance or 0)
    premiums = min(missing, int(token.booked_premiums))
    words = f"{token_text(missing, token)} less than owed"
    if premiums:
        words += f": of it {token_text(premiums, token)} premium that the contract books and collects from nobody"
        words += f", {token_text(missing - premiums, token)} unexplained" if missing > premiums else ""
    return words


def _count_tiles(chain_ledger: int) -> list[Tile]:
    groups = Group.objects.all()
    return [
        _count_tile("Gaps in history", HistoryGap.objects.missing(), {"events": "missing"},
                    "Name a node that keeps more history in SOROBAN_RPC_URL; gaps are then filled."),
        _count_tile("Groups with rows that no entry proves", groups.unconfirmed(), {"history": "unproven"},
                    "`manage.py sweep ID` proves and heals a group."),
        _count_tile("Undecoded entries", UndecodedEntry.objects.all(), {},
                    "A newer version of Ajo may read them: `manage.py redecode` tries again."),
        _count_tile("Groups archived within a week", expiring_soon(groups, chain_ledger), {"life": "ends"},
                    "Anybody can extend the life of an entry by a transaction of the network."),
        _count_tile("Groups archived", archived(groups, chain_ledger), {"life": "archived"},
                    "The next transaction that touches the group restores it, at its sender's cost."),
    ]  # fmt: skip


def _drift_tile(checkpoint: Checkpoint) -> Tile:
    """Return what sweeps found and corrected so far, with a link to the groups in which they found it."""
    found = ", ".join(f"{kind} {number}" for kind, number in checkpoint.drift.items())
    return Tile("Drift that sweeps found", found, address=changelist_url(Group, {"drift": "found"}))


def _newer_protocol() -> list[Tile]:
    """Return a tile while the network speaks a newer protocol than stellar-sdk knows, else none."""
    newest = RpcNode.objects.filter(protocol_version__gt=KNOWN_PROTOCOL).aggregate(newest=Max("protocol_version"))
    if newest["newest"] is None:
        return []
    words = f"{newest['newest']}, newer than the {KNOWN_PROTOCOL} that this version knows"
    return [Tile("Network's protocol", words, Level.DEGRADED, changelist_url(RpcNode, {}), "Upgrade Ajo.")]


def _run_tile(kind: SyncRun.Kind) -> Tile:
    """Return how the newest run of this kind that ended came out."""
    last = last_run(kind)
    address = changelist_url(SyncRun, {"runs": kind.value})
    if last is None:
        return Tile(f"Last {kind.label.lower()}", "none has ended yet", address=address)
    ended = f" at {last.finished_at:%Y-%m-%d %H:%M:%S} UTC" if last.finished_at else ""
    reason = f": {short(escape_invisible(last.reason), 200)}" if last.reason else ""
    level = Level.DEGRADED if last.outcome == SyncRun.Outcome.FAILED else Level.WELL
    return Tile(f"Last {kind.label.lower()}", f"{last.get_outcome_display().lower()}{ended}{reason}", level, address)


def _count_tile(name: str, rows: QuerySet[Any], lookups: Mapping[str, str], todo: str) -> Tile:
    """Return the number of rows, counted up to MAX_COUNT, with a link to them. Any row is a reason to look."""
    count = len(rows.values_list("pk")[: MAX_COUNT + 1])
    text = f"more than {MAX_COUNT}" if count > MAX_COUNT else str(count)
    level = Level.DEGRADED if count else Level.WELL
    return Tile(name, text, level, changelist_url(rows.model, lookups), todo)
