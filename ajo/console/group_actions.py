"""What staff can do about one group: read it again, compare it with the chain, heal it. Each needs its permission.

Reading again and healing are confirmed first and written to the audit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import takewhile
from operator import eq
from typing import Any, Final

from django.conf import settings
from django.contrib import messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.core.exceptions import PermissionDenied
from django.db.models import Model, Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.defaultfilters import pluralize
from django.template.response import TemplateResponse
from django.urls import reverse

from ajo import cache
from ajo.adminkit.display import escape_invisible, short
from ajo.indexer.lease import Superseded
from ajo.indexer.verify import sweep_groups
from ajo.soroban.models import Checkpoint, SyncRun
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.errors import ChainError
from ajo.soroban.rpc.pool import nodes
from groups.cached import read_group
from groups.creation import read_groups
from groups.models import Group, GroupMember, User
from groups.rows import (
    ENTRY_FIELDS,
    REFUND_REQUEST_FIELDS,
    group_row,
    member_rows,
    refund_request_row,
    wallet_addresses,
)
from groups.snapshots import GroupSnapshot, Snapshots

MAX_VALUE: Final = 200  # characters of a value that is shown
CONTEXT: Final = 20  # characters that are shown before the first one that differs


class ActionFailed(Exception):
    """The action could not be done; the message is for staff."""


@dataclass(frozen=True, slots=True)
class Action:
    """A button of a group's page. `run` returns a sentence that says what was done; None: a page of its own."""

    title: str
    permission: str
    explanation: str
    run: Callable[[Group], str] | None = None

    @property
    def asks_first(self) -> bool:
        """Whether its page asks before it runs. Templates cannot ask for `run`: they would call it."""
        return self.run is not None


def _reread(group: Group) -> str:
    try:
        ledger = read_group(group.pk, time.monotonic() + cache.DEADLINE)
    except cache.Unavailable as failure:
        raise ActionFailed(failure.detail) from failure
    return f"Read again at ledger {ledger}."


def _heal(group: Group) -> str:
    try:
        *_, last = sweep_groups(nodes().run, [group.pk])
    except Superseded as failure:
        raise ActionFailed("A sweep is running. Try again in a moment.") from failure
    except ChainError as failure:
        raise ActionFailed("The chain cannot be read now; the runs say why.") from failure
    healed = Group.objects.filter(pk=group.pk).first()
    if healed is None:
        return "The contract has no such group: its rows were removed."
    if group.pk in last.absent:
        raise ActionFailed("The node does not have the group. It is removed once another one says so too.")
    if healed.unreadable_since is not None:
        raise ActionFailed("The group's entries on the chain cannot be decoded by this version: they prove nothing.")
    return _healed_words(SyncRun.objects.get(pk=last.run).counts)


def _healed_words(counts: Mapping[str, int]) -> str:
    drift = [f"{name.removeprefix('drift_')} {n}" for name, n in counts.items() if name.startswith("drift_") and n]
    unproven = counts["unproven"]
    words = [f"Healed: differences in {', '.join(drift)}."] if drift else []
    if unproven:
        words.append(f"{unproven} row{pluralize(unproven)} of its history stay that no entry proves.")
    return " ".join(words) or "Proven: everything is as the chain has it."


ACTIONS: Final[dict[str, Action]] = {
    "compare": Action("Compare with the chain", "groups.reread_group", "Changes nothing."),
    "reread": Action(
        "Read again from the chain",
        "groups.reread_group",
        "Its entries are read, and written where they differ.",
        _reread,
    ),
    "heal": Action(
        "Heal",
        "groups.heal_group",
        "All that is stored of it is proved by the chain, history included, and corrected.",
        _heal,
    ),
}


def buttons(request: HttpRequest, group: Group) -> list[tuple[str, str]]:
    """Return title and address of the actions that this account may use."""
    return [
        (action.title, reverse(f"admin:group_{name}", args=[group.pk]))
        for name, action in ACTIONS.items()
        if request.user.has_perm(action.permission)
    ]


def group_action_page(request: HttpRequest, context: Mapping[str, Any], group_id: int, name: str) -> HttpResponse:
    """Show an action's page; run it on POST. Raises PermissionDenied, and Http404 for a group without a row."""
    action = ACTIONS[name]
    if not request.user.has_perm(action.permission):
        raise PermissionDenied
    group = get_object_or_404(Group, pk=group_id)
    page = {**context, "title": action.title, "action": action, "group": group, "group_name": _shown(group)}
    if action.run is None:
        try:
            page["comparison"] = compare(group)
        except ActionFailed as failure:
            messages.error(request, str(failure))
        return TemplateResponse(request, "admin/group_action.html", page)
    if request.method != "POST":
        return TemplateResponse(request, "admin/group_action.html", page)
    _run(request, action, action.run, group)
    if not Group.objects.filter(pk=group.pk).exists():
        return HttpResponseRedirect(reverse("admin:groups_group_changelist"))
    return HttpResponseRedirect(reverse("admin:groups_group_change", args=[group.pk]))


def _run(request: HttpRequest, action: Action, run: Callable[[Group], str], group: Group) -> None:
    try:
        said = run(group)
    except ActionFailed as failure:
        said = f"Not done: {failure}"
        messages.error(request, said)
    else:
        messages.success(request, said)
    who = request.user.pk or 0  # the site lets only accounts in
    # the group as it was: its row may be gone
    LogEntry.objects.log_actions(who, [group], CHANGE, f"{action.title}. {said}", single_object=True)


@dataclass(frozen=True, slots=True)
class Line:
    """One column as it is stored and as the chain has it."""

    name: str
    stored: object
    chain: object

    @property
    def differs(self) -> bool:
        return self.stored != self.chain

    @property
    def shown(self) -> list[str]:
        """Return both as text of at most MAX_VALUE characters: of long ones that differ the place where they do."""
        texts = [escape_invisible(str(value)) for value in (self.stored, self.chain)]
        begin = sum(1 for _ in takewhile(lambda pair: eq(*pair), zip(*texts, strict=False))) - CONTEXT
        if self.differs and begin > 0 and max(map(len, texts)) > MAX_VALUE:
            texts = [f"…{text[begin:]}" for text in texts]
        return [short(text, MAX_VALUE) for text in texts]


@dataclass(frozen=True, slots=True)
class Comparison:
    """A group's columns beside the chain's, read at `ledger`."""

    ledger: int
    lines: list[Line]

    @property
    def differences(self) -> int:
        return sum(line.differs for line in self.lines)


def compare(group: Group) -> Comparison:
    """Read the group's entries and compare every column that repeats them. Writes nothing. Raises ActionFailed."""
    at_least = int(Checkpoint.objects.freshness().ledger)

    def read(client: SorobanClient) -> Snapshots:
        return read_groups(client, settings.AJO_CONTRACT_ID, at_least, [group.pk])

    try:
        snapshots = nodes().run(read, time.monotonic() + cache.DEADLINE)
    except ChainError as failure:
        raise ActionFailed("The chain cannot be read now.") from failure
    if group.pk in snapshots.absent:
        raise ActionFailed(f"The contract has no group {group.pk} at ledger {snapshots.ledger}.")
    snapshot = snapshots.groups.get(group.pk)
    if snapshot is None:
        raise ActionFailed("The group's entries on the chain cannot be decoded by this version.")
    return Comparison(snapshot.ledger, _lines(group, snapshot))


def _lines(group: Group, snapshot: GroupSnapshot) -> list[Line]:
    stored = {row.position: row for row in GroupMember.objects.filter(group=group)}
    request = getattr(group, "refund_request", None)
    keys = {group.creator_id, *(row.user_id for row in stored.values()), *([request.requester_id] if request else [])}
    wanted = wallet_addresses([snapshot])
    known = User.objects.filter(Q(wallet_address__in=wanted) | Q(pk__in=keys)).values_list("pk", "wallet_address")
    addresses = dict(known)
    # wallets that only the chain has get keys that no row has
    addresses |= {-place: each for place, each in enumerate(sorted(wanted - {*addresses.values()}), 1)}
    users = {address: key for key, address in addresses.items()}
    lines = _columns("", group, group_row(snapshot, users), ENTRY_FIELDS, addresses)
    chain = {row.position: row for row in member_rows(group.pk, snapshot, users)}
    for position in sorted(stored.keys() | chain.keys()):
        lines.append(
            Line(
                f"member at position {position + 1}",
                _member(stored.get(position), addresses),
                _member(chain.get(position), addresses),
            )
        )
    asked = refund_request_row(group.pk, snapshot, users)
    return lines + _columns("refund request: ", request, asked, REFUND_REQUEST_FIELDS, addresses)


def _columns(
    prefix: str, stored: Model | None, chain: Model | None, names: list[str], addresses: Mapping[int, str]
) -> list[Line]:
    """Return a line for each column, by the words that its page has for it."""
    row = stored or chain
    if row is None:
        return []
    words = {field.attname: field.verbose_name for field in row._meta.concrete_fields}
    return [
        Line(f"{prefix}{words[name]}", _value(stored, name, addresses), _value(chain, name, addresses))
        for name in names
    ]


def _value(row: Model | None, name: str, addresses: Mapping[int, str]) -> object:
    """Return a column's value; a wallet's address in place of its key, of which the chain knows nothing."""
    if row is None:
        return "none"
    value = getattr(row, name)
    return addresses[value] if row._meta.get_field(name).related_model is User else value


def _member(row: GroupMember | None, addresses: Mapping[int, str]) -> str:
    return "none" if row is None else f"{addresses[row.user_id]}, {'paid' if row.has_contributed else 'not paid'}"


def _shown(group: Group) -> str:
    return short(escape_invisible(str(group)), 80)
