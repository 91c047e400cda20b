"""What a wallet's page answers first: what it paid, received and owes, its groups, and what happened."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.safestring import SafeString

from ajo.adminkit import display
from ajo.adminkit.words import at
from ajo.api.clock import chain_now
from ajo.console.people import People
from ajo.console.steps import MAX_STEPS, step_of
from ajo.soroban.models import ContractEvent
from contributions.models import Contribution, Payout, Refund
from contributions.periods import NAMED
from contributions.wallets import wallet_totals
from groups import dues, schedule
from groups.admin_columns import token_text
from groups.models import Group, GroupMember, Token, User

MAX_GROUPS: Final = 200  # of a wallet's page, the newest
MAX_OWED: Final = 50  # groups to which a wallet owes that are told, the newest


@dataclass(frozen=True, slots=True)
class MembershipLine:
    """One of a wallet's groups, and what it has to do there."""

    group: SafeString
    status: str
    round: str
    dues: str
    tone: str
    payout: str


def wallet_summary(request: HttpRequest, user: User) -> dict[str, Any]:
    """Return the context of a wallet's statement, in a number of queries that does not grow with its rows."""
    now = chain_now()
    members = list(
        GroupMember.objects.filter(user=user).select_related("group__token").order_by("-group_id")[:MAX_GROUPS]
    )
    people = People.of([user.wallet_address])
    totals = wallet_totals(user)
    return {
        "name": people.link(user),
        "address": user.wallet_address,
        "totals": [_total_line(line) for line in totals["tokens"]],
        "counts": {name: totals[name] for name in ("groups", "contributions", "payouts", "refunds")},
        "owes": _owes(user, now),
        "statements": _statements(user.wallet_address, now),
        "memberships": [_membership_line(member, now) for member in members],
        "all_groups": len(members) < MAX_GROUPS,
        **_timeline(user, people),
    }


def _statements(address: str, now: datetime) -> list[tuple[str, str]]:
    """Return title and address of the wallet's statement as CSV: of this month, of the last one, and of all time."""
    begin = reverse("user-statement", args=[address])
    found = []
    for name in ("month", "last-month"):
        title, period = NAMED[name]
        bounds = {"from": period(now).since, "to": period(now).until}
        dates = {bound: f"{moment:%Y-%m-%d}" for bound, moment in bounds.items() if moment}
        found.append((title, f"{begin}?{urlencode({**dates, 'format': 'csv'})}"))
    return [*found, ("everything", f"{begin}?format=csv")]


def _total_line(line: dict[str, Any]) -> dict[str, str]:
    token: Token | None = line["token"]
    return {verb: token_text(line[verb], token) for verb in ("paid", "received", "refunded")}


def _owes(user: User, now: datetime) -> list[str]:
    """Return in a sentence for each active group what the wallet has to pay now, and until when."""
    unpaid = GroupMember.objects.filter(user=user, has_contributed=False, group__status=Group.Status.ACTIVE)
    members = list(unpaid.select_related("group__token").order_by("-group_id")[: MAX_OWED + 1])
    more = [f"more, to groups older than these {MAX_OWED}."] if len(members) > MAX_OWED else []
    return [_owed(member, now) for member in members[:MAX_OWED]] + more


def _owed(member: GroupMember, now: datetime) -> str:
    group = member.group
    amount = token_text(group.contribution_amount, group.token)
    when = at(schedule.round_ends_at(group), now)
    late = " It is overdue." if dues.is_overdue(member, now) else ""
    stale = "" if group.unreadable_since is None else " Its entries cannot be read now: this is as it was before."
    return f"{amount} to group {group.pk} for round {group.current_round}, until {when}.{late}{stale}"


def _membership_line(member: GroupMember, now: datetime) -> MembershipLine:
    group = member.group
    name = display.safe_text(f"{group.pk}: {group.name}" if group.name else str(group.pk))
    is_active = group.status == Group.Status.ACTIVE
    state, tone = ("paid", "well") if member.has_contributed else ("unpaid", "degraded")
    if is_active and dues.is_overdue(member, now):
        state, tone = "overdue", "act"
    expected = dues.payout_at(member, now) if is_active else None
    if member.position < group.payout_index:
        payout = "received"
    else:
        payout = f"from {expected:%Y-%m-%d %H:%M} UTC" if expected else "-"
    return MembershipLine(
        group=display.change_link(Group, group.pk, name),
        status=group.get_status_display(),
        round=f"{group.current_round} of {group.member_count}",
        dues=state if is_active else "",
        tone=tone,
        payout=payout,
    )


def _timeline(user: User, people: People) -> dict[str, Any]:
    """Return the newest events that moved this wallet's money, as steps with links to their groups."""
    ids: list[str] = []
    for model in (Contribution, Payout, Refund):
        newest = model.objects.filter(user=user).order_by("-order_within", "-id")
        ids += [event_id for event_id in newest.values_list("event_id", flat=True)[:MAX_STEPS] if event_id]
    events = list(ContractEvent.objects.filter(id__in=sorted(ids)[-MAX_STEPS:]).order_by("-id"))
    groups = (
        Group.objects.select_related("token")
        .only("id", "token")
        .in_bulk({int(event.group_id) for event in events if event.group_id is not None})
    )
    steps = []
    for event in events:
        group = groups.get(int(event.group_id)) if event.group_id is not None else None
        step = step_of(event, people, group.token if group else None)
        link = display.change_link(Group, event.group_id, f"group {event.group_id}") if group else ""
        steps.append(replace(step, who=link))
    return {"steps": steps, "who_title": "Group", "is_whole": len(steps) < MAX_STEPS}
