"""Serializers of transactions: what is posted, and what is known of one."""

from __future__ import annotations

from typing import Any, Final

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from ajo.api.events import EventSerializer
from ajo.api.fields import AddressField, AmountField, TimeField, U32Field, U64StringField
from ajo.soroban.models import ChainTransaction
from ajo.transactions.codes import Code
from ajo.transactions.forms import MAX_XDR, ClosedSerializer, ContractErrorSerializer
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

    xdr = serializers.CharField(help_text="A TransactionEnvelope in base64, signed.", min_length=4, max_length=MAX_XDR)


class FeeSerializer(serializers.Serializer[ChainTransaction]):
    """In stroops."""

    max = AmountField(source="max_fee", allow_null=True, help_text="The most that it can cost.")
    charged = AmountField(source="fee_charged", allow_null=True)


class TransactionSerializer(serializers.Serializer[Known]):
    """A transaction as this service knows it. One that was not submitted here has null for what only that knows."""

    hash = serializers.CharField(read_only=True, source="row.hash")
    status = serializers.ChoiceField(read_only=True, choices=Status.choices, source="row.status")
    retry = serializers.SerializerMethodField(
        help_text="What a client may do without ever paying twice: wait; build again with `replaces` this hash; build "
        "anew; null: nothing."
    )
    code = serializers.SerializerMethodField(help_text="Why it is so, in one word.")
    detail = serializers.SerializerMethodField(help_text="Why it is so, in a sentence.")
    contract_error = ContractErrorSerializer(read_only=True, allow_null=True, source="row.contract_error")
    function = serializers.SerializerMethodField()
    group = U64StringField(source="row.group_id", allow_null=True)
    source = serializers.SerializerMethodField(  # type: ignore[assignment]  # collected as a field
        help_text="The account whose sequence number it uses."
    )
    sequence = U64StringField(source="row.sequence", allow_null=True)
    valid_until = serializers.SerializerMethodField(help_text="It can apply in ledgers that close until then.")
    fee = FeeSerializer(read_only=True, source="row")
    ledger = U32Field(source="row.ledger", allow_null=True)
    created_at = TimeField(source="row.closed_at", allow_null=True, help_text="When its ledger closed.")
    result = serializers.JSONField(
        source="row.result", read_only=True, allow_null=True, help_text="What the function returned, decoded."
    )
    attempts = U32Field(source="row.attempts", allow_null=True, help_text="How often it was sent.")
    last_answer = serializers.SerializerMethodField(help_text="What a node said of it last.")
    submitted_at = TimeField(source="row.created_at", allow_null=True)
    contributions = ContributionSerializer(many=True, read_only=True, source="carried.contributions")
    payouts = PayoutSerializer(many=True, read_only=True, source="carried.payouts")
    refunds = RefundSerializer(many=True, read_only=True, source="carried.refunds")
    events = EventSerializer(many=True, read_only=True, source="carried.events")

    @extend_schema_field(serializers.ChoiceField(choices=["wait", "replace", "rebuild"], allow_null=True))
    def get_retry(self, known: Known) -> str | None:
        return RETRY[known.row.status]

    @extend_schema_field(serializers.ChoiceField(choices=[each.value for each in Code], allow_null=True))
    def get_code(self, known: Known) -> str | None:
        return known.row.code or None

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_detail(self, known: Known) -> str | None:
        return known.row.detail or None

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_function(self, known: Known) -> str | None:
        return known.row.function or None

    @extend_schema_field(AddressField(allow_null=True))
    def get_source(self, known: Known) -> str | None:
        return known.row.source or None

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_last_answer(self, known: Known) -> str | None:
        return known.row.last_answer or None

    @extend_schema_field(TimeField(allow_null=True))
    def get_valid_until(self, known: Known) -> str | None:
        row: Any = known.row  # a column that nothing is known of is None (queries.foreign)
        until = None if row.max_time is None else row.valid_until
        return TimeField().to_representation(until) if until else None
