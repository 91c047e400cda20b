"""Values of the chain in the admin: exact amounts, and words that can neither break a page nor hide."""

import re

import pytest
from django.db.models import Model
from django.test import Client

from ajo.adminkit.display import amount_text, escape_invisible, money, safe_text
from ajo.soroban.fields import I128_MAX, I128_MIN
from groups.models import Group, Token, WalletLabel
from tests.support import admin_pages
from tests.support.admin_pages import shown_text
from tests.support.admin_rows import HOSTILE, TABLES, contract, fill

pytestmark = pytest.mark.django_db
NAMES = [table._meta.object_name for table in TABLES]
by_table = pytest.mark.parametrize("model", TABLES, ids=NAMES)


def test_amounts_are_exact_to_the_last_digit(staff: Client) -> None:
    assert money(I128_MAX, "XLM", 7, verified=True).count(str(2**127 - 1)) == 1
    native = Token.objects.create(address=contract(0), symbol="XLM", decimals=7, verified=True)
    fill(4)
    Group.objects.filter(pk=1).update(token=native, contribution_amount=I128_MAX)
    Group.objects.filter(pk=2).update(token=native, contribution_amount=I128_MIN)
    Group.objects.filter(pk=3).update(token=native, contribution_amount=100_000_000)
    shown = [
        "17014118346046923173168730371588.4105727 XLM · 170141183460469231731687303715884105727",
        "-17014118346046923173168730371588.4105728 XLM · -170141183460469231731687303715884105728",
        "10.0000000 XLM · 100000000",
    ]
    listed = shown_text(staff, admin_pages.table(Group))
    for unit in ("17,014,118,346,046,923,173,168,730,371,588.4105727 XLM", "-17,014,118", ".4105728 XLM", " 10 XLM "):
        assert unit in listed
    for number, expected in enumerate(shown, start=1):
        assert expected in shown_text(staff, admin_pages.row(Group.objects.get(pk=number)))
        exact = expected.partition(" · ")[2]
        assert f'title="{exact} smallest units"' in staff.get(admin_pages.table(Group)).content.decode()


@pytest.mark.parametrize(
    ("decimals", "shown"),
    [
        (0, "-170141183460469231731687303715884105728 XLM (unverified) · -170141183460469231731687303715884105728"),
        (38, "-1.70141183460469231731687303715884105728 XLM (unverified) · -170141183460469231731687303715884105728"),
        (39, "-170141183460469231731687303715884105728"),
        (2**32 - 1, "-170141183460469231731687303715884105728"),
        (None, "-170141183460469231731687303715884105728"),
    ],
)
def test_a_unit_is_shown_only_where_the_token_has_a_sensible_one(decimals: int | None, shown: str) -> None:
    assert re.sub(r"<[^>]*>", "", money(I128_MIN, "XLM", decimals, verified=False)) == shown


@pytest.mark.parametrize(
    ("symbol", "decimals", "verified", "shown"),
    [
        ("XLM", 7, True, "1,234.5 XLM"), ("XLM", 7, False, "1,234.5 XLM (unverified)"),
        (None, 7, False, "1,234.5 (unverified)"), ("XLM", None, False, "12345000000 units"),
    ],
)  # fmt: skip
def test_plain_amounts_are_marked_where_nobody_vouches_for_the_token(
    symbol: str | None, decimals: int | None, verified: bool, shown: str
) -> None:
    assert amount_text(12_345_000_000, symbol, decimals, verified=verified) == shown


@by_table
def test_hostile_words_are_escaped_and_made_visible_on_every_page(staff: Client, model: type[Model]) -> None:
    fill(8)
    WalletLabel.objects.update(label=HOSTILE[:100])
    Token.objects.update(symbol=HOSTILE, decimals=3)
    addresses = [admin_pages.table(model), *(admin_pages.row(found) for found in model._default_manager.all())]
    for address in addresses:
        html = staff.get(address).content.decode()
        for tag in ("<script>alert", "<img src=x"):
            assert tag not in html
        assert model is WalletLabel or "\u202e" not in html  # labels are staff's own words, to be edited as they are


def test_words_of_any_length_stay_short_in_tables() -> None:
    assert len(re.sub(r"<[^>]*>", "", safe_text("M" * 100_000))) == 60
    assert escape_invisible("a\u202eb\u2066\0\n") == "a⟨U+202E⟩b⟨U+2066⟩⟨U+0000⟩⟨U+000A⟩"


# One of each kind that shows nothing: fillers, joiners, selectors, tags, blank glyphs, other spaces, noncharacters.
NOTHING = (
    0x00A0, 0x00AD, 0x034F, 0x061C, 0x115F, 0x1160, 0x1680, 0x17B4, 0x180B, 0x180E, 0x2003, 0x200B, 0x200C, 0x200D,
    0x202F, 0x2060, 0x2065, 0x2800, 0x3000, 0x3164, 0xFE00, 0xFE0F, 0xFEFF, 0xFFA0, 0xFFF0, 0xFDD0, 0xFFFF, 0x13441,
    0x16FE4, 0x1D159, 0x1D173, 0xE0001, 0xE0100, 0xE0FFF,
)  # fmt: skip


@pytest.mark.parametrize("code", NOTHING, ids=hex)
@pytest.mark.parametrize("lines", [False, True])
def test_a_character_that_shows_nothing_is_shown_by_its_number(code: int, lines: bool) -> None:
    """Breaks if general categories alone decided: U+3164 is a letter, U+2800 a symbol, U+034F a mark."""
    assert escape_invisible(f"Ada{chr(code)}b", lines=lines) == f"Ada⟨U+{code:04X}⟩b"


def test_spaces_that_a_browser_leaves_out_are_shown() -> None:
    space = "⟨U+0020⟩"
    assert escape_invisible(" Ada  Obi ") == f"{space}Ada{space}{space}Obi{space}"
    assert escape_invisible("   ") == 3 * space
    assert escape_invisible("Ada Obi") == "Ada Obi"
    assert escape_invisible(" two\n  lines", lines=True) == " two\n  lines"  # a box keeps them


def test_names_in_every_script_stay_as_they_are() -> None:
    for text in ("Ẹgbẹ́ Àjọ", "خیریه محله", "दोस्त", "储蓄会", "ครอบครัว", "Kasse №1", "🎉 Ade"):
        assert escape_invisible(text) == text


def test_names_that_look_alike_differ_in_tables_and_on_pages(staff: Client) -> None:
    fill(2)
    Group.objects.filter(pk=1).update(name="Circle")
    Group.objects.filter(pk=2).update(name="Circle\u3164")
    for address in (admin_pages.table(Group), admin_pages.row(Group.objects.get(pk=2))):
        assert "Circle⟨U+3164⟩" in shown_text(staff, address)
        assert "\u3164" not in staff.get(address).content.decode()
