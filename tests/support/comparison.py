"""The contract's own entries, decoded, compared with the tables: what decides whether a sync was right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from ajo.soroban.contract import entries as on_chain
from ajo.soroban.contract import keys
from ajo.soroban.contract.entries import decode_entry, printable
from ajo.soroban.contract.keys import decode_key
from ajo.soroban.times import timestamp_to_datetime
from contributions.models import Contribution, Payout, Refund
from groups.models import Group, GroupMember, RefundRequest


def differences(entries: Mapping[str, str]) -> list[str]:
    """Return what differs between entries and tables, empty if they are equal.

    `entries` is every entry of the contract, base64 LedgerKey → base64 LedgerEntryData.
    """
    state = {decode_key(key)[1]: decode_entry(xdr).value for key, xdr in entries.items()}
    found: list[str] = []
    groups = {key.group_id: value for key, value in state.items() if isinstance(key, keys.GroupKey)}
    stored = {group.pk: group for group in Group.objects.select_related("creator")}
    if set(groups) != set(stored):
        found.append(f"groups: chain {sorted(groups)}, tables {sorted(stored)}")
    for group_id in groups.keys() & stored.keys():
        found += _group(groups[group_id], stored[group_id], state)
    found += _history(state, groups)
    return found


def _group(chain: Any, row: Group, state: Mapping[keys.Key, Any]) -> list[str]:
    metadata = state.get(keys.MetadataKey(row.pk), on_chain.Metadata(name=b"", description=b"", rules=b""))
    paid = {m: keys.ContribKey(row.pk, chain.current_cycle, m) in state for m in chain.members}
    expected = {
        "name": printable(metadata.name),
        "description": printable(metadata.description),
        "rules": printable(metadata.rules),
        "creator": chain.creator,
        "token": chain.token_address,
        "contribution_amount": chain.contribution_amount,
        "cycle_duration": chain.cycle_duration,
        "grace_period": chain.grace_period,
        "penalty_rate": chain.penalty_rate,
        "insurance_rate_bps": chain.insurance_config.rate_bps if chain.insurance_config else None,
        "max_members": chain.max_members,
        "member_count": len(chain.members),
        "current_round": chain.current_cycle,
        "payout_index": chain.payout_index,
        "contributions_received": sum(paid.values()),
        "status": chain.status,
        "created_at": timestamp_to_datetime(chain.created_at),
        "round_started_at": timestamp_to_datetime(chain.cycle_start_time),
        "members": [(m, i, paid[m]) for i, m in enumerate(chain.members)],
        "refund_request": _request(state.get(keys.RefundRequestKey(row.pk))),
    }
    members = GroupMember.objects.filter(group=row).order_by("position").select_related("user")
    request = RefundRequest.objects.filter(group=row).select_related("requester").first()
    actual = {name: getattr(row, name) for name in expected.keys() - {"creator", "token", "members", "refund_request"}}
    actual |= {
        "creator": row.creator.wallet_address,
        "token": row.token_id,
        "members": [(m.user.wallet_address, m.position, m.has_contributed) for m in members],
        "refund_request": request
        and (
            request.requester.wallet_address,
            request.created_at,
            request.voting_deadline,
            request.votes_for,
            request.votes_against,
            request.executed,
            request.approved,
        ),
    }
    return [
        f"group {row.pk}: {name}: chain {expected[name]!r}, tables {actual[name]!r}"
        for name in expected
        if expected[name] != actual[name]
    ]


def _request(value: Any) -> Any:
    return value and (
        value.requester,
        timestamp_to_datetime(value.created_at),
        timestamp_to_datetime(value.voting_deadline),
        value.votes_for,
        value.votes_against,
        value.executed,
        value.approved,
    )


def _history(state: Mapping[keys.Key, Any], groups: Mapping[int, Any]) -> list[str]:
    contributions = {
        (k.group_id, k.cycle, k.member, groups[k.group_id].contribution_amount)
        for k in state
        if isinstance(k, keys.ContribKey)
    }
    paid = Counter((group_id, cycle) for group_id, cycle, *_ in contributions)
    payouts = set()
    for k in state:
        if isinstance(k, keys.PayoutKey):
            group = groups[k.group_id]
            cycle = group.members.index(k.member) + 1
            payouts.add((k.group_id, cycle, k.member, group.contribution_amount * paid[k.group_id, cycle]))
    refunds = {
        (k.group_id, groups[k.group_id].current_cycle, k.member, v.amount, v.reason)
        for k, v in state.items()
        if isinstance(k, keys.RefundKey)
    }
    pairs: list[tuple[str, set[Any], list[Any]]] = [
        (
            "contributions",
            contributions,
            list(Contribution.objects.values_list("group_id", "round", "user__wallet_address", "amount")),
        ),
        ("payouts", payouts, list(Payout.objects.values_list("group_id", "round", "user__wallet_address", "amount"))),
        (
            "refunds",
            refunds,
            list(Refund.objects.values_list("group_id", "round", "user__wallet_address", "amount", "reason")),
        ),
    ]
    # The entry shows the last refund of a wallet: one that a vote's has written over is in no entry any more.
    name, refunded, rows = pairs[-1]
    earlier = {
        row for row in rows if row not in refunded and row[-1] != Refund.Reason.MEMBER_VOTE
        and (*row[:-1], Refund.Reason.MEMBER_VOTE) in refunded
    }  # fmt: skip
    pairs[-1] = (name, refunded | earlier, rows)
    found = []
    for name, expected, rows in pairs:
        if len(rows) != len(set(rows)):
            found.append(f"{name}: something stands twice")
        if set(rows) != expected:
            found.append(f"{name}: missing {sorted(expected - set(rows))}, too many {sorted(set(rows) - expected)}")
    return found
