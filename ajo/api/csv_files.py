"""CSV files (RFC 4180, UTF-8) of any length, which spreadsheets take for no formulas."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from io import StringIO
from typing import Any, Final

MEDIA_TYPE: Final = "text/csv; charset=utf-8; header=present"
BROKEN_OFF: Final = b"incomplete: something failed while this was sent; ask again\r\n"  # the last line then
# A spreadsheet takes a cell that begins so for a formula; names, symbols and labels are people's own words.
FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n")


def csv_lines(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[bytes]:
    """Yield the header and a line for each row. Text of people has to go through `plain_cell` before."""
    buffer = StringIO()
    writer = csv.writer(buffer)
    writer.writerow(columns)
    for row in rows:
        writer.writerow(row)
        yield _take(buffer)
    if header := _take(buffer):  # there was no row
        yield header


def plain_cell(text: str | None) -> str | None:
    """Return people's own words so that no spreadsheet takes them for a formula: quoted where they begin like one."""
    return f"'{text}" if text and text.lstrip(" ").startswith(FORMULA_STARTS) else text


def _take(buffer: StringIO) -> bytes:
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text.encode()
