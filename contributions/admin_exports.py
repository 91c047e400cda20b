"""What staff take out of the lists of history: CSV of all rows that the filters leave, and their totals by token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Count, QuerySet, Sum
from django.http import HttpResponse
from django.http.response import HttpResponseBase

from ajo.api.csv_files import BROKEN_OFF, MEDIA_TYPE, csv_lines, plain_cell
from ajo.api.downloads import Download, in_chunks
from ajo.api.fields import decimal_amount
from ajo.cache import Unavailable
from ajo.database.keyset import all_rows
from contributions.models import HistoryRow, Refund
from groups.admin_columns import token_text
from groups.models import Token

BATCH: Final = 500  # rows in memory at a time
MAX_TOTALLED: Final = 100_000  # rows
COLUMNS: Final = (
    "created_at (UTC)", "group", "group_name", "round", "wallet", "label", "amount", "symbol", "smallest_units",
    "token_address", "reason", "tx_hash", "ledger",
)  # fmt: skip


def csv_download(rows: QuerySet[Any], name: str, client: str) -> HttpResponseBase:
    """Return these rows as a CSV file that is made while it is sent, in constant memory.

    503 where another download of this client is being sent.
    """
    lines = csv_lines(COLUMNS, map(_cells, all_rows(rows, BATCH)))
    try:
        response = Download(in_chunks(lines, BROKEN_OFF), MEDIA_TYPE, client)
    except Unavailable as failure:
        text = f"{failure.detail} Try again in a moment.\n"
        return HttpResponse(text, status=503, content_type="text/plain", headers={"Retry-After": "5"})
    response.headers["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    return response


def _cells(row: Any) -> list[Any]:
    """Return a row's cells. Words of strangers and of staff are quoted where they begin like a formula."""
    token: Token | None = row.group.token
    decimals = token.decimals if token else None
    return [
        f"{row.created_at:%Y-%m-%d %H:%M:%S}" if row.created_at else "",
        row.group_id,
        plain_cell(row.group.name),
        row.round,
        row.user.wallet_address,
        plain_cell(row.wallet_label or ""),
        "" if decimals is None else decimal_amount(row.amount, decimals),
        plain_cell(token.symbol or "") if token else "",
        row.amount,
        row.group.token_id or "",
        row.get_reason_display() if isinstance(row, Refund) else "",
        row.tx_hash or "",
        row.ledger or "",
    ]


@dataclass(frozen=True, slots=True)
class ListTotals:
    """Sums by token as text, of `rows` rows; `is_partial`: of the first MAX_TOTALLED ones."""

    sums: list[str]
    rows: int
    is_partial: bool


def list_totals(rows: QuerySet[Any]) -> ListTotals:
    """Return the totals of a list's rows. Of a list of more than MAX_TOTALLED rows the first ones are added up."""
    model: type[HistoryRow] = rows.model
    summed = model._default_manager.filter(pk__in=rows.values("pk")[:MAX_TOTALLED]).order_by()
    found = list(summed.values_list("group__token_id").annotate(Count("pk"), Sum("amount")))
    tokens = Token.objects.in_bulk([token for token, *_ in found if token], field_name="address")
    found.sort(key=lambda each: str(each[0]))
    sums = [token_text(int(amount), tokens.get(address)) for address, _, amount in found]
    number = sum(count for _, count, _ in found)
    is_partial = number >= MAX_TOTALLED and rows.values("pk")[MAX_TOTALLED:].exists()
    return ListTotals(sums, number, is_partial)
