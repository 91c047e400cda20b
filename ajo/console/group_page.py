"""What a group's page answers first: which round it is, who has paid, who is next, and what happened."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Sum
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from ajo.adminkit.words import at, duration, percent
from ajo.api.clock import chain_now
from ajo.console.group_actions import buttons
from ajo.console.people import People
from ajo.console.steps import MAX_STEPS, step_of
from ajo.soroban.models import ContractEvent
from contributions.models import Contribution, Payout, Refund
from groups import dues, schedule
from groups.admin_columns import token_text
from groups.models import Group, GroupMember, RefundRequest


@dataclass(frozen=True, slots=True)
class MemberLine:
    """One member in payout order. `state`: what it has to do in this round, or did."""

    position: int
    wallet: SafeString
    state: str
    tone: str
    payout: str


def group_summary(request: HttpRequest, group: Group) -> dict[str, Any]:
    """Return the context of a group's summary, in a number of queries that does not grow with its rows."""
    now = chain_now()
    members = list(GroupMember.objects.filter(group=group).select_related("user").order_by("position"))
    for member in members:
        member.group = group
    steps = list(ContractEvent.objects.filter(group_id=group.pk).order_by("-id")[:MAX_STEPS])
    people = People.of([member.user.wallet_address for member in members])
    return {
        "buttons": buttons(request, group),
        "headline": headline(group, members, people, now),
        "terms": terms(group),
        "members": [_member_line(member, people, now) for member in members],
        "votes": _votes(group, now),
        "steps": [step_of(event, people, group.token) for event in steps],
        "is_whole": len(steps) < MAX_STEPS,
        "paid_in": _sum_of(Contribution, group),
        "paid_out": _sum_of(Payout, group),
        "refunded": _sum_of(Refund, group),
    }


def headline(group: Group, members: list[GroupMember], people: People, now: datetime) -> list[str]:
    """Return the sentences that say where the group stands."""
    if group.unreadable_since is not None:
        return ["Its entries cannot be read by this version: what follows is as it was before."]
    if group.status != Group.Status.ACTIVE:
        return [f"{group.get_status_display()}: {group.payout_index} of {group.member_count} rounds were paid out."]
    words: list[str] = [
        f"Round {group.current_round} of {group.member_count}",
        f"{group.contributions_received} of {group.member_count} paid",
    ]
    recipient = next((member for member in members if member.position == group.payout_index), None)
    if recipient is not None and schedule.pays_out(group):
        name = people.name(recipient.user.wallet_address)
        amount = _amount(schedule.payout_amount(group), group)
        words.append(format_html("next: {} (position {}), {}", name, recipient.position + 1, amount))
    return [format_html_join(" · ", "{}", ((each,) for each in words)), _deadline_words(group, now)]


def _deadline_words(group: Group, now: datetime) -> str:
    """Return what the round waits for: payments until its end, its grace period, or somebody who takes the payout."""
    ends, grace_ends = schedule.round_ends_at(group), schedule.grace_ends_at(group)
    if ends is None or grace_ends is None:
        return "The round ends at no time that a calendar holds: it is never paid out."
    if group.contributions_received < group.member_count:
        if now <= ends:
            return f"Payments are due until {at(ends, now)}."
        return f"Payments were due until {at(ends, now)}: overdue by {duration((now - ends).total_seconds())}."
    if now < grace_ends:
        return f"All have paid. The payout can be taken from {at(grace_ends, now)}."
    return f"All have paid. The payout is due since {at(grace_ends, now)}: anybody may call execute_payout."


def terms(group: Group) -> list[tuple[str, str]]:
    """Return the group's terms in the words of people."""
    insurance, penalty = group.insurance_rate_bps, group.penalty_rate
    return [
        ("Each pays", _amount(group.contribution_amount, group)),
        ("A round lasts", duration(group.cycle_duration)),
        ("Grace period", "none" if not group.grace_period else duration(group.grace_period)),
        ("Members", f"{group.member_count} of at most {group.max_members}"),
        ("Insurance", f"{percent(insurance)} of each payment, booked and not collected" if insurance else "none"),
        ("Late penalty", f"{penalty} %, declared and charged by nobody" if penalty else "none"),
    ]


def _member_line(member: GroupMember, people: People, now: datetime) -> MemberLine:
    group = member.group
    is_active = group.status == Group.Status.ACTIVE
    if not is_active:
        state, tone = "", ""
    elif member.has_contributed:
        state, tone = "paid", "well"
    elif dues.is_overdue(member, now):
        state, tone = "overdue", "act"
    else:
        state, tone = "unpaid", "degraded"
    return MemberLine(member.position + 1, people.link(member.user), state, tone, _payout_words(member, now, is_active))


def _payout_words(member: GroupMember, now: datetime, is_active: bool) -> str:
    group = member.group
    if member.position < group.payout_index:
        return f"paid out in round {member.position + 1}"
    if not is_active:
        return "never paid out"
    if member.position == group.payout_index:
        return "next"
    expected = dues.payout_at(member, now)
    return "round " + str(dues.payout_round(member)) + (f", from {expected:%Y-%m-%d %H:%M} UTC" if expected else "")


def _votes(group: Group, now: datetime) -> str:
    request = RefundRequest.objects.filter(group=group).first()
    if request is None:
        return ""
    counted = f"{request.votes_for} for, {request.votes_against} against"
    if request.executed:
        return f"Refund vote: {counted}; {'approved and refunded' if request.approved else 'executed'}."
    deadline = request.voting_deadline
    ends = "closes" if deadline is None or deadline >= now else "closed"
    return f"Refund vote: {counted}; {ends} {at(deadline, now)}."


def _amount(amount: int, group: Group) -> str:
    return token_text(amount, group.token)


def _sum_of(model: type[Contribution] | type[Payout] | type[Refund], group: Group) -> str:
    total = model.objects.filter(group=group).aggregate(total=Sum("amount"))["total"]
    return _amount(int(total or 0), group)
