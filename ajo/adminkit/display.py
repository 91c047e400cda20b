"""How values look on staff's pages: amounts, addresses, links, and words that anyone on the chain may have written."""

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

MAX_DECIMALS = 38  # no i128 has more digits to put behind a point
MAX_SYMBOL = 12  # characters of an asset code; a hostile token may say anything
_EXACT = Context(prec=2 * MAX_DECIMALS + 2)
# Controls, invisible formatting (bidirectional overrides among them), private use, line and paragraph separators.
# Of the spaces only the plain one is itself: the others pass for it.
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp", "Zs"}
# Letters, marks and unassigned places that show nothing: Unicode's Default_Ignorable_Code_Point (fillers, joiners,
# variation selectors, tags), which unicodedata does not know, and characters whose glyph is blank. Scripts and emoji
# that need some of them are spelled out too: two names that look alike cost staff more than one that looks odd.
_BLANK = frozenset(
    code
    for first, last in (
        (0x034F, 0x034F), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x2065, 0x2065), (0x2800, 0x2800),
        (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x13441, 0x13442),
        (0x16FE4, 0x16FE4), (0x1D159, 0x1D159), (0xE0000, 0xE0FFF),
    )
    for code in range(first, last + 1)
)  # fmt: skip
_LOST_SPACES = re.compile("^ +| +$| {2,}")  # what a browser leaves out


def escape_invisible(text: str, *, lines: bool = False) -> str:
    """The text with every character that shows nothing, or hides or reorders others, written out as its number.

    `lines`: keep line breaks, tabs and all plain spaces.
    """
    kept = {" ", "\n", "\t"} if lines else {" "}
    seen = "".join(_number(char) if char not in kept and _is_unseen(char) else char for char in text)
    return seen if lines else _LOST_SPACES.sub(lambda spaces: _number(" ") * len(spaces[0]), seen)


def _is_unseen(char: str) -> bool:
    code = ord(char)
    is_noncharacter = code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF
    return is_noncharacter or code in _BLANK or unicodedata.category(char) in _UNSEEN


def _number(char: str) -> str:
    return f"⟨U+{ord(char):04X}⟩"


def short(text: str, limit: int) -> str:
    """At most `limit` characters, the last of them … where something is missing."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def safe_text(text: str, limit: int = 60) -> SafeString:
    """Words from the chain, on one line of a table: escaped, visible, bounded, their direction kept to themselves."""
    return format_html('<bdi class="said">{}</bdi>', short(escape_invisible(text[: 4 * limit]), limit))


def safe_multiline(text: str) -> SafeString:
    """Words from the chain, whole, in a box of their own."""
    return format_html(
        '<div class="said-box" dir="auto">{}</div>', escape_invisible(text.replace("\r\n", "\n"), lines=True)
    )


def preformatted(text: str) -> SafeString:
    """Base64 or hexadecimal, whole: it breaks anywhere and scrolls."""
    return format_html('<div class="raw-box">{}</div>', escape_invisible(text))


def as_json(value: Any, limit: int | None = None) -> SafeString:
    """JSON as text: on one line of at most `limit` characters, or whole in a box."""
    if limit is not None:
        return safe_text(json.dumps(value, ensure_ascii=False), limit)
    return safe_multiline(json.dumps(value, ensure_ascii=False, indent=2))


def money(amount: int, symbol: str | None, decimals: int | None, *, verified: bool) -> SafeString:
    """`10.0000000 XLM · 100000000`: in the token's unit beside the exact integer; only that, where no unit is known.

    Anyone may deploy a token that calls itself XLM: the symbol of an unverified one says that it is.
    """
    exact = format_html('<span class="exact">{}</span>', str(amount))
    if decimals is None or not 0 <= decimals <= MAX_DECIMALS:
        return exact
    unit = format(Decimal(amount).scaleb(-decimals, _EXACT), "f")
    name = safe_text(symbol, MAX_SYMBOL) if symbol else ""
    doubt = "" if verified else " (unverified)"
    return format_html('<span class="unit">{} {}{}</span> · {}', unit, name, doubt, exact)


def format_time(value: datetime | None) -> str:
    """A computed time as the admin writes those that are stored; UTC."""
    return "-" if value is None else date_format(value, "DATETIME_FORMAT")


def change_link(model: type[Model], key: object, text: str) -> SafeString:
    """A link to the page of one row."""
    meta = model._meta
    address = reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[key])
    return format_html('<a href="{}">{}</a>', address, text)


def changelist_link(model: type[Model], text: str, **lookups: object) -> SafeString:
    """A link to a table, narrowed to some rows."""
    return format_html('<a href="{}">{}</a>', changelist_url(model, lookups), text)


def changelist_url(model: type[Model], lookups: Mapping[str, object]) -> str:
    meta = model._meta
    address = reverse(f"admin:{meta.app_label}_{meta.model_name}_changelist")
    return f"{address}?{urlencode(lookups)}" if lookups else address


def shortened(word: str) -> SafeString:
    """Both ends of an address or a hash, the whole of it on hover."""
    return format_html('<span class="word" title="{}">{}…{}</span>', word, word[:6], word[-6:])
