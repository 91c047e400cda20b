"""Serializers of history: contributions, payouts, refunds and the totals of a wallet."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from ajo.api.fields import AddressField, AmountField, TimeField, U32Field, U64StringField
from contributions.models import HistoryRow, Refund
from groups.models import Token
from groups.serializers import TokenSerializer


class HistorySerializer(serializers.Serializer[HistoryRow]):
    """`id` derives from group, round and wallet: it stays when a row recovered from state is completed."""

    id = serializers.SerializerMethodField(help_text="Opaque, and stable.")
    group = U64StringField(source="group_id")
    user = AddressField(source="user.wallet_address")
    round = U32Field()
    amount = AmountField()
    tx_hash = serializers.CharField(read_only=True, allow_null=True)
    ledger = U32Field(
        allow_null=True,
        help_text="Without a tx_hash the ledger at which the contract's entry was last written: exact, or later than "
        "the payment if the entry was restored from the archive since.",
    )
    created_at = TimeField(allow_null=True)

    def get_id(self, row: HistoryRow) -> str:
        return f"{row.group_id}-{row.round}-{row.user.wallet_address}"


class ContributionSerializer(HistorySerializer):
    """A member paid a round."""


class PayoutSerializer(HistorySerializer):
    """A member took a round's pool: `user` is the recipient."""


class RefundSerializer(HistorySerializer):
    """A member got back what a round had collected: `round` is the round that was refunded.

    A wallet can be refunded twice: its group was cancelled, and a vote that was approved before was executed.
    """

    reason = serializers.SerializerMethodField()

    def get_id(self, row: HistoryRow) -> str:
        identity = super().get_id(row)
        return identity if not isinstance(row, Refund) or row.ordinal == 1 else f"{identity}-{row.ordinal}"

    @extend_schema_field(serializers.ChoiceField(choices=[(label, label) for label in Refund.Reason.labels]))
    def get_reason(self, refund: Refund) -> str:
        return str(refund.get_reason_display())


class MovedSerializer(serializers.Serializer[Any]):
    """The totals of a wallet in one token; null: groups that older contracts wrote without one."""

    token_address = AddressField(allow_null=True)
    token = serializers.SerializerMethodField()
    paid = AmountField()
    refunded = AmountField()
    received = AmountField()

    @extend_schema_field(TokenSerializer(allow_null=True))
    def get_token(self, moved: dict[str, Any]) -> dict[str, Any] | None:
        token: Token | None = moved["token"]
        return TokenSerializer(token).data if token else None


class WalletSerializer(serializers.Serializer[Any]):
    """One wallet with counts and, by token, what it paid, was refunded, received."""

    address = AddressField()
    groups = U32Field(help_text="Those it belongs to.")
    created_groups = U32Field()
    contributions = U32Field()
    payouts = U32Field()
    refunds = U32Field()
    tokens = MovedSerializer(many=True, read_only=True)
