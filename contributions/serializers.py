"""Serializers of history: contributions, payouts, refunds and the totals of a wallet."""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from ajo.api.fields import AddressField, AmountField, ComputedField, TimeField, U32Field, U64StringField
from ajo.soroban.contract.keys import ContribKey, PayoutKey
from contributions.models import HistoryRow, Refund
from groups.serializers import TokenSerializer

LEDGER_HELP: Final = (
    "The ledger that carried it. Without a tx_hash the one at which the contract's entry was last written: exact, or "
    "later than the payment if the entry was restored from the archive since."
)


ENTRY_KEY_HELP: Final = (
    "The LedgerKey (base64 XDR) of the contract's entry that proves it: any RPC's getLedgerEntries finds it."
)


class HistorySerializer(serializers.Serializer[HistoryRow]):
    """`id` derives from group, round and wallet: it stays when a row recovered from state is completed."""

    id = serializers.SerializerMethodField(help_text="Opaque, and stable.")
    group = U64StringField(source="group_id", help_text="The group's number.")
    user = AddressField(source="user.wallet_address", help_text="The wallet that paid, was paid or was refunded.")
    round = U32Field(help_text="The round that it belongs to.")
    amount = AmountField(help_text="In the token's smallest unit.")
    tx_hash = serializers.CharField(
        read_only=True,
        allow_null=True,
        help_text="The transaction; null if it was recovered from state, not from an event.",
    )
    ledger = U32Field(allow_null=True, help_text=LEDGER_HELP)
    created_at = TimeField(
        allow_null=True, help_text="When the ledger closed; null if it was recovered from state, but for refunds."
    )

    def get_id(self, row: HistoryRow) -> str:
        return f"{row.group_id}-{row.round}-{row.user.wallet_address}"


class ContributionSerializer(HistorySerializer):
    """A member paid a round."""

    entry_key = serializers.SerializerMethodField(help_text=ENTRY_KEY_HELP)

    def get_entry_key(self, row: HistoryRow) -> str:
        key = ContribKey(row.group_id, row.round, row.user.wallet_address)
        return key.to_xdr(settings.AJO_CONTRACT_ID)


class PayoutSerializer(HistorySerializer):
    """A member took a round's pool: `user` is the recipient."""

    entry_key = serializers.SerializerMethodField(help_text=ENTRY_KEY_HELP)

    def get_entry_key(self, row: HistoryRow) -> str:
        return PayoutKey(row.group_id, row.user.wallet_address).to_xdr(settings.AJO_CONTRACT_ID)


class RefundSerializer(HistorySerializer):
    """A member got back what a round had collected: `round` is the round that was refunded.

    A wallet can be refunded twice: its group was cancelled, and a vote that was approved before was executed.
    """

    reason = serializers.SerializerMethodField(help_text="Why it was refunded.")

    def get_id(self, row: HistoryRow) -> str:
        identity = super().get_id(row)
        return identity if not isinstance(row, Refund) or row.ordinal == 1 else f"{identity}-{row.ordinal}"

    @extend_schema_field(serializers.ChoiceField(choices=[(label, label) for label in Refund.Reason.labels]))
    def get_reason(self, refund: Refund) -> str:
        return str(refund.get_reason_display())


class MovedSerializer(serializers.Serializer[Any]):
    """The totals of a wallet in one token; null: groups that older contracts wrote without one."""

    token_address = AddressField(allow_null=True, help_text="The token's contract.")
    token = ComputedField(
        lambda moved: moved["token"],
        TokenSerializer(allow_null=True),
        help_text="The token's own description, if it can be read.",
    )
    paid = AmountField(help_text="Contributions, in the smallest unit.")
    refunded = AmountField(help_text="Refunds, in the smallest unit.")
    received = AmountField(help_text="Payouts, in the smallest unit.")


class WalletSerializer(serializers.Serializer[Any]):
    """One wallet with counts and, by token, what it paid, was refunded, received."""

    address = AddressField(help_text="The wallet.")
    groups = U32Field(help_text="Those it belongs to.")
    created_groups = U32Field(help_text="Groups that it made.")
    contributions = U32Field(help_text="Its contributions.")
    payouts = U32Field(help_text="Payouts to it.")
    refunds = U32Field(help_text="Refunds to it.")
    tokens = MovedSerializer(many=True, read_only=True, help_text="What it paid, was refunded and received, by token.")
