"""Formats values for the admin: amounts, addresses, links, and untrusted text from the chain.

Every function that returns SafeString escapes what it is given.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from datetime import datetime
from decimal import Context, Decimal
from typing import Any
from urllib.parse import urlencode

from django.db.models import Model
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString

MAX_DECIMALS = 38  # digits after the point; no i128 has more
MAX_SYMBOL = 12  # characters of a Stellar asset code; a hostile token may have a longer symbol
_EXACT = Context(prec=2 * MAX_DECIMALS + 2)
# Controls, invisible formatting (bidirectional overrides among them), private use, line and paragraph separators.
# Spaces other than the plain one are included: they look like it.
_INVISIBLE_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp", "Zs"}
# Letters, marks and unassigned places that show nothing: Unicode's Default_Ignorable_Code_Point (fillers, joiners,
# variation selectors, tags), which unicodedata lacks, and characters whose glyph is blank. Scripts and emoji that need
# some of them are spelled out too: two names that look alike do more harm than one that looks odd.
_INVISIBLE_CODES = frozenset(
    code
    for first, last in (
        (0x034F, 0x034F), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x2065, 0x2065), (0x2800, 0x2800),
        (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x13441, 0x13442),
        (0x16FE4, 0x16FE4), (0x1D159, 0x1D159), (0xE0000, 0xE0FFF),
    )
    for code in range(first, last + 1)
)  # fmt: skip
_COLLAPSED_SPACES = re.compile("^ +| +$| {2,}")  # HTML collapses them


def escape_invisible(text: str, *, lines: bool = False) -> str:
    """Return the text with every invisible or reordering character written as ⟨U+hhhh⟩.

    `lines`: keep line breaks, tabs and all plain spaces. Escapes no HTML.
    """
    kept = {" ", "\n", "\t"} if lines else {" "}
    visible = "".join(_code_point(char) if char not in kept and _is_invisible(char) else char for char in text)
    return visible if lines else _COLLAPSED_SPACES.sub(lambda spaces: _code_point(" ") * len(spaces[0]), visible)


def _is_invisible(char: str) -> bool:
    code = ord(char)
    is_noncharacter = code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF
    return is_noncharacter or code in _INVISIBLE_CODES or unicodedata.category(char) in _INVISIBLE_CATEGORIES


def _code_point(char: str) -> str:
    return f"⟨U+{ord(char):04X}⟩"


def short(text: str, limit: int) -> str:
    """Return at most `limit` characters; the last one is … where the text was cut."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def safe_text(text: str, limit: int = 60) -> SafeString:
    """Return untrusted text for one line of a table: escaped, visible, bounded, its direction isolated."""
    return format_html('<bdi class="safe-text">{}</bdi>', short(escape_invisible(text[: 4 * limit]), limit))


def safe_multiline(text: str) -> SafeString:
    """Return untrusted text, whole, in a box of its own."""
    return format_html(
        '<div class="safe-box" dir="auto">{}</div>', escape_invisible(text.replace("\r\n", "\n"), lines=True)
    )


def preformatted(text: str) -> SafeString:
    """Return base64 or hexadecimal, whole, in a box that breaks anywhere and scrolls."""
    return format_html('<div class="raw-box">{}</div>', escape_invisible(text))


def as_json(value: Any, limit: int | None = None) -> SafeString:
    """Return JSON as text: on one line of at most `limit` characters, or whole in a box."""
    if limit is not None:
        return safe_text(json.dumps(value, ensure_ascii=False), limit)
    return safe_multiline(json.dumps(value, ensure_ascii=False, indent=2))


def _in_unit(amount: int, decimals: int | None) -> Decimal | None:
    """Return an amount in the token's unit, exact; None where the decimals are unknown or beyond MAX_DECIMALS."""
    if decimals is None or not 0 <= decimals <= MAX_DECIMALS:
        return None
    return Decimal(amount).scaleb(-decimals, _EXACT)


def amount_text(amount: int, symbol: str | None, decimals: int | None, *, verified: bool) -> str:
    """Return an amount in the token's unit as plain text, without trailing zeros: 833.4 XLM. Escapes no HTML.

    Only the integer, in smallest units, where the token has no sensible unit. An unverified token is marked as such.
    """
    exact = _in_unit(amount, decimals)
    if exact is None:
        return f"{amount} units"
    name = f" {short(escape_invisible(symbol), MAX_SYMBOL)}" if symbol else ""
    return f"{_trimmed(exact)}{name}{_mark(verified)}"


def _trimmed(amount: Decimal) -> str:
    """Return an amount with commas and without trailing zeros: 1,833.4."""
    text = f"{amount:,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _mark(verified: bool) -> str:
    """Return what stands behind the symbol of an unverified token: anyone may deploy one that calls itself XLM."""
    return "" if verified else " (unverified)"


def money(amount: int, symbol: str | None, decimals: int | None, *, verified: bool) -> SafeString:
    """Return `10.0000000 XLM · 100000000`: the amount in the token's unit beside the exact integer.

    Only the integer where the token has no sensible unit. An unverified token is marked as such.
    """
    exact = format_html('<span class="exact">{}</span>', str(amount))
    unit = _in_unit(amount, decimals)
    if unit is None:
        return exact
    name = safe_text(symbol, MAX_SYMBOL) if symbol else ""
    return format_html('<span class="unit">{} {}{}</span> · {}', f"{unit:f}", name, _mark(verified), exact)


def money_cell(amount: int, symbol: str | None, decimals: int | None, *, verified: bool) -> SafeString:
    """Return an amount for a cell of a list: in the token's unit, the exact integer as the tooltip."""
    unit = _in_unit(amount, decimals)
    if unit is None:
        return money(amount, symbol, decimals, verified=verified)
    name = safe_text(symbol, MAX_SYMBOL) if symbol else ""
    title = f"{amount} smallest units"
    return format_html('<span class="unit" title="{}">{} {}{}</span>', title, _trimmed(unit), name, _mark(verified))


def format_time(value: datetime | None) -> str:
    """Return a computed time, in UTC, in the format of the admin's stored times; `-` for None."""
    return "-" if value is None else date_format(value, "DATETIME_FORMAT")


def change_link(model: type[Model], key: object, text: str) -> SafeString:
    """Return a link to the page of one row."""
    meta = model._meta
    address = reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[key])
    return format_html('<a href="{}">{}</a>', address, text)


def changelist_link(model: type[Model], text: str, **lookups: object) -> SafeString:
    """Return a link to a table, filtered by these lookups."""
    return format_html('<a href="{}">{}</a>', changelist_url(model, lookups), text)


def changelist_url(model: type[Model], lookups: Mapping[str, object]) -> str:
    """Return the address of a table, filtered by these lookups."""
    meta = model._meta
    address = reverse(f"admin:{meta.app_label}_{meta.model_name}_changelist")
    return f"{address}?{urlencode(lookups)}" if lookups else address


def shortened(text: str) -> SafeString:
    """Return both ends of an address or a hash, with the whole of it as the tooltip."""
    return format_html('<span class="shortened" title="{}">{}…{}</span>', text, text[:6], text[-6:])
