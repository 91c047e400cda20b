"""Serializers of transactions: what is posted, and what is known of one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from rest_framework import serializers

from ajo.api.events import EventSerializer
from ajo.api.fields import AddressField, AmountField, ComputedField, TimeField, U32Field, U64StringField
from ajo.soroban.models import ChainTransaction
from ajo.transactions.codes import SENTENCES, Code
from ajo.transactions.forms import MAX_XDR, MIN_XDR, ClosedSerializer, ContractErrorSerializer
from ajo.transactions.queries import Known
from contributions.serializers import ContributionSerializer, PayoutSerializer, RefundSerializer

Status: Final = ChainTransaction.Status
# What a client may do without ever paying twice: wait; build again with `replaces`; build anew; nothing.
RETRY: Final[dict[str, str | None]] = {
    Status.PENDING: "wait",
    Status.SUCCESS: None,
    Status.FAILED: "rebuild",
    Status.REJECTED: "replace",
    Status.EXPIRED: "rebuild",
    Status.UNKNOWN: None,
}


class SubmissionSerializer(ClosedSerializer):
    """A signed transaction."""

    # not trimmed: in a form a space at the end may be a plus
    xdr = serializers.CharField(
        help_text="A TransactionEnvelope in base64, signed.",
        min_length=MIN_XDR,
        max_length=MAX_XDR,
        trim_whitespace=False,
    )


class FeeSerializer(serializers.Serializer[ChainTransaction]):
    """In stroops."""

    max = AmountField(source="max_fee", allow_null=True, help_text="The most that it can cost.")
    charged = AmountField(
        source="fee_charged",
        allow_null=True,
        help_text="What it cost; null before its ledger, and where no node was asked for it.",
    )


def _said(name: str) -> Callable[[Known], str | None]:
    """Return a reader of a row's text that is "" where there is none."""
    return lambda known: getattr(known.row, name) or None


def _retry(known: Known) -> str | None:
    """Return what a client may do. What a replacement has done, or may do yet, built anew is done twice."""
    if known.rival is not None:
        return RETRY[Status.SUCCESS if known.rival == Status.SUCCESS else Status.PENDING]
    return RETRY[known.row.status]


def _valid_until(known: Known) -> datetime | None:
    row: Any = known.row  # a column that nothing is known of is None (queries.foreign)
    return None if row.max_time is None else row.valid_until


class TransactionSerializer(serializers.Serializer[Known]):
    """A transaction as this service knows it. One that was not submitted here has null for what only that knows."""

    hash = serializers.CharField(read_only=True, source="row.hash", help_text="The transaction's hash, hex.")
    status = serializers.ChoiceField(
        read_only=True, choices=Status.choices, source="row.status", help_text="What became of it."
    )
    retry = ComputedField(
        _retry,
        serializers.ChoiceField(choices=sorted({word for word in RETRY.values() if word}), allow_null=True),
        help_text="What a client may do without ever paying twice: wait; build again with `replaces` this hash "
        "(replace); build anew (rebuild); null: nothing. Of one that expired, wait or null where another with its "
        "sequence number may still be applied, or was.",
    )
    code = ComputedField(
        _said("code"),
        serializers.ChoiceField(choices=[(code.value, SENTENCES[code]) for code in Code], allow_null=True),
        help_text="Why it is so, in one word.",
    )
    detail = ComputedField(
        _said("detail"), serializers.CharField(allow_null=True), help_text="Why it is so, in a sentence for a person."
    )
    contract_error = ContractErrorSerializer(
        read_only=True, allow_null=True, source="row.contract_error", help_text="Which contract refused, and why."
    )
    function = ComputedField(
        _said("function"), serializers.CharField(allow_null=True), help_text="The contract's function that it calls."
    )
    group = U64StringField(source="row.group_id", allow_null=True, help_text="The group that it is about.")
    source = ComputedField(  # type: ignore[assignment]  # collected as a field
        _said("source"), AddressField(allow_null=True), help_text="The account whose sequence number it uses."
    )
    sequence = U64StringField(source="row.sequence", allow_null=True, help_text="Its sequence number.")
    valid_until = ComputedField(
        _valid_until, TimeField(allow_null=True), help_text="It can apply in ledgers that close until then."
    )
    fee = FeeSerializer(read_only=True, source="row", help_text="What it offers and what it cost, in stroops.")
    ledger = U32Field(
        source="row.ledger", allow_null=True, help_text="The ledger that carried it; null if none has, or not known."
    )
    created_at = TimeField(source="row.closed_at", allow_null=True, help_text="When its ledger closed.")
    result = serializers.JSONField(
        source="row.result", read_only=True, allow_null=True, help_text="What the function returned, decoded."
    )
    attempts = U32Field(source="row.attempts", allow_null=True, help_text="How often it was sent.")
    last_answer = ComputedField(
        _said("last_answer"), serializers.CharField(allow_null=True), help_text="What a node said of it last."
    )
    submitted_at = TimeField(source="row.created_at", allow_null=True, help_text="When it was first posted here.")
    contributions = ContributionSerializer(
        many=True, read_only=True, source="carried.contributions", help_text="The contributions that it carried."
    )
    payouts = PayoutSerializer(
        many=True, read_only=True, source="carried.payouts", help_text="The payouts that it carried."
    )
    refunds = RefundSerializer(
        many=True, read_only=True, source="carried.refunds", help_text="The refunds that it carried."
    )
    events = EventSerializer(
        many=True, read_only=True, source="carried.events", help_text="The events that it carried."
    )
