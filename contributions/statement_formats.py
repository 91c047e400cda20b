"""Statements as JSON and as CSV, written piece by piece."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from ajo.api.csv_files import csv_lines, plain_cell
from ajo.api.fields import AddressField, AmountField, TimeField, U32Field, U64StringField, decimal_amount
from ajo.api.rendering import dump
from contributions.models import HistoryRow, Refund
from contributions.serializers import LEDGER_HELP, MovedSerializer
from contributions.statements import KINDS, Statement
from groups.schedule import readable_token
from groups.serializers import TokenSerializer

COLUMNS: Final = (
    "created_at", "kind", "group", "group_name", "round", "user", "decimal_amount", "symbol", "amount", "token_address",
    "reason", "tx_hash", "ledger",
)  # fmt: skip


class StatementEntrySerializer(serializers.Serializer[HistoryRow]):
    """One movement of money: a contribution, a payout or a refund."""

    kind = serializers.SerializerMethodField(help_text="What it was.")
    group = U64StringField(source="group_id", help_text="The group's number.")
    group_name = serializers.CharField(read_only=True, source="group.name", help_text="The group's name as it is now.")
    round = U32Field(help_text="The round that it belongs to.")
    user = AddressField(source="user.wallet_address", help_text="The wallet that paid, was paid or was refunded.")
    amount = AmountField(help_text="In the token's smallest unit.")
    decimal_amount = serializers.SerializerMethodField(
        help_text="The same in the token's unit; null where its decimals are not known."
    )
    token_address = AddressField(source="group.token_id", allow_null=True, help_text="The token's contract.")
    token = serializers.SerializerMethodField(help_text="The token's own description, if it can be read.")
    reason = serializers.SerializerMethodField(help_text="Of a refund: why. Else null.")
    tx_hash = serializers.CharField(
        read_only=True, allow_null=True, help_text="The transaction; null if it was recovered from state."
    )
    ledger = U32Field(allow_null=True, help_text=LEDGER_HELP)
    created_at = TimeField(allow_null=True, help_text="When the ledger closed; null if that is not known.")

    @extend_schema_field(serializers.ChoiceField(choices=[(word, word) for word, _ in KINDS.values()]))
    def get_kind(self, row: HistoryRow) -> str:
        return KINDS[type(row)][0]

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_decimal_amount(self, row: HistoryRow) -> str | None:
        token = readable_token(row.group.token)
        return None if token is None or token.decimals is None else decimal_amount(int(row.amount), token.decimals)

    @extend_schema_field(TokenSerializer(allow_null=True))
    def get_token(self, row: HistoryRow) -> dict[str, Any] | None:
        token = readable_token(row.group.token)
        return TokenSerializer(token).data if token else None

    @extend_schema_field(
        serializers.ChoiceField(allow_null=True, choices=[(label, label) for label in Refund.Reason.labels])
    )
    def get_reason(self, row: HistoryRow) -> str | None:
        return str(row.get_reason_display()) if isinstance(row, Refund) else None


class StatementSerializer(serializers.Serializer[Any]):
    """A statement as one document."""

    results = StatementEntrySerializer(many=True, read_only=True, help_text="The movements, oldest first.")
    totals = MovedSerializer(many=True, read_only=True, help_text="Their sums by token.")
    undated = U32Field(help_text="Movements that the period leaves out, because nobody knows their time.")


def as_json(statement: Statement) -> Iterator[bytes]:
    """Yield a StatementSerializer's document, a row at a time."""
    serializer = StatementEntrySerializer()
    begin = b'{"results":['
    for row in statement.rows():
        yield begin + dump(serializer.to_representation(row))
        begin = b","
    tokens = statement.tokens()
    totals = [
        {"token_address": address, "token": readable_token(tokens.get(address or "")), **statement.totals[address]}
        for address in sorted(statement.totals, key=lambda address: address or "")
    ]
    end = dump({"totals": MovedSerializer(totals, many=True).data, "undated": statement.undated()})
    yield (b"" if statement.totals else begin) + b"]," + end[1:]


def as_csv(statement: Statement) -> Iterator[bytes]:
    """Yield the lines of a CSV file with the statement's rows."""
    serializer = StatementEntrySerializer()

    def cells(row: HistoryRow) -> list[Any]:
        shown = serializer.to_representation(row)
        shown["symbol"] = (shown["token"] or {}).get("symbol")
        return [plain_cell(shown[name]) if name in ("group_name", "symbol") else shown[name] for name in COLUMNS]

    return csv_lines(COLUMNS, map(cells, statement.rows()))
