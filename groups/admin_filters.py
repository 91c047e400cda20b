"""The sidebar filters of the admins of tokens and groups."""

from __future__ import annotations

from django.db.models import F

from ajo.adminkit.lists import choice_filter
from ajo.api.clock import chain_now
from ajo.soroban.archival import archived, expiring_soon
from ajo.soroban.models import Checkpoint
from groups import deadlines
from groups.models import OWED_AND_COLLECTED, Group

SolvencyFilter = choice_filter(
    "solvency",
    {
        "short": ("less held than owed", {"balance__lt": OWED_AND_COLLECTED}),
        "premiums": (
            "less held by booked premiums alone",
            {"balance__lt": F("owed"), "balance__gte": OWED_AND_COLLECTED},
        ),
    },
)
StatusFilter = choice_filter(
    "status",
    {
        "active": ("active", {"status": Group.Status.ACTIVE}),
        "joinable": ("active and not full", {"is_joinable": True}),
        "completed": ("completed", {"status": Group.Status.COMPLETED}),
        "cancelled": ("cancelled", {"status": Group.Status.CANCELLED}),
    },
)
DueFilter = choice_filter(
    "waiting for people",
    {
        "overdue": ("payments overdue", lambda rows: deadlines.overdue(rows, chain_now(), wanted=True)),
        "payout": ("payout due", lambda rows: deadlines.payout_due(rows, chain_now(), wanted=True)),
        "vote": (
            "refund vote open",
            lambda rows: rows.filter(
                status=Group.Status.ACTIVE,
                refund_request__executed=False,
                refund_request__voting_deadline__gte=chain_now(),
            ),
        ),
    },
    parameter="due",
)
ArchivalFilter = choice_filter(
    "life on the chain",
    {
        "ends": ("ends within a week", lambda rows: expiring_soon(rows, Checkpoint.objects.chain_ledger())),
        "archived": ("archived, or not known", lambda rows: archived(rows, Checkpoint.objects.chain_ledger())),
    },
    parameter="life",
)
DriftFilter = choice_filter("drift", {"found": ("was found to differ from the chain", {"drifted_at__isnull": False})})
HistoryFilter = choice_filter("history", {"unproven": ("has rows that no entry proves", {"unproven_rows__gt": 0})})
