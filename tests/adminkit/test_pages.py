"""What the staff's pages show, and how many queries it takes them."""

import re
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext

from ajo.adminkit.display import escape_invisible, money, safe_text
from ajo.conf.checks import SANDBOX_PASSPHRASE
from ajo.soroban.archival import EXPIRING_SOON
from ajo.soroban.fields import I128_MAX, I128_MIN
from ajo.soroban.models import Checkpoint, ContractEvent, HistoryGap, SyncRun, UndecodedEntry
from contributions.models import Contribution, Payout, Refund
from groups.models import Group, GroupMember, Token, WalletLabel
from tests.support import admin_pages
from tests.support.admin_rows import HOSTILE, TABLES, account, contract, fill, members, tx
from tests.support.services import CONTRACT

pytestmark = pytest.mark.django_db
NAMES = [table._meta.object_name for table in TABLES]
by_table = pytest.mark.parametrize("model", TABLES, ids=NAMES)


def queries(client: Client, address: str) -> list[str]:
    with CaptureQueriesContext(connection) as captured:
        assert client.get(address).status_code == 200
    return [query["sql"] for query in captured.captured_queries]


def text(client: Client, address: str) -> str:
    """What a reader of the page sees."""
    return text_of(client.get(address))


def text_of(answer: Any) -> str:
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", answer.content.decode())).split())


@by_table
def test_every_table_and_every_row_has_a_page(staff: Client, model: type[Model]) -> None:
    fill(8)
    assert staff.get(admin_pages.table(model)).status_code == 200
    for found in model._default_manager.all():
        assert staff.get(admin_pages.row(found)).status_code == 200


@by_table
def test_a_table_takes_as_many_queries_for_fifty_rows_as_for_one_and_counts_none(
    staff: Client, model: type[Model]
) -> None:
    fill(1)
    few = queries(staff, admin_pages.table(model))
    fill(49, first=2)
    many = queries(staff, admin_pages.table(model))
    assert len(many) == len(few) <= 5  # session, account, its permissions (two), rows
    assert [sql for sql in many if "COUNT(" in sql.upper()] == []


def test_a_group_takes_as_many_queries_with_a_hundred_members_as_with_one(staff: Client) -> None:
    fill(1)
    group = Group.objects.get()
    staff.get(admin_pages.row(group))  # the first page in a process asks for content types
    few = queries(staff, admin_pages.row(group))
    members(group, 99)
    many = queries(staff, admin_pages.row(group))
    assert len(many) == len(few)
    assert [sql for sql in many if "COUNT(" in sql.upper()] == []
    assert "member" in text(staff, admin_pages.row(group))


def test_pages_follow_each_other_without_gap_or_repetition_in_both_directions(staff: Client) -> None:
    fill(120)
    seen, address, previous = [], admin_pages.table(Contribution), ""
    for size in (50, 50, 20):
        answer = staff.get(address)
        changelist = answer.context["cl"]
        assert len(changelist.result_list) == size
        seen += [row.pk for row in changelist.result_list]
        previous, address = changelist.previous_page, admin_pages.table(Contribution) + (changelist.next_page or "")
    assert seen == list(Contribution.objects.newest_first().values_list("pk", flat=True))
    back = staff.get(admin_pages.table(Contribution) + previous).context["cl"]
    assert [row.pk for row in back.result_list] == seen[50:100]


def test_a_page_parameter_that_is_not_ours_leads_back_to_the_table(staff: Client) -> None:
    fill(1)
    for place in ("2", "x", "\0", "AAAA", "9" * 5000):
        assert staff.get(admin_pages.table(Contribution, p=place)).status_code == 302
        assert staff.get(admin_pages.table(Contribution, p=place), follow=True).status_code == 200


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
    for number, expected in enumerate(shown, start=1):
        assert expected in text(staff, admin_pages.table(Group))
        assert expected in text(staff, admin_pages.row(Group.objects.get(pk=number)))


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
        assert "Circle⟨U+3164⟩" in text(staff, address)
        assert "\u3164" not in staff.get(address).content.decode()


def test_wallets_are_shown_with_what_staff_call_them(staff: Client) -> None:
    fill(2)
    assert "Ada & <b>2</b>" in text(staff, admin_pages.table(Contribution))
    assert "Ada & <b>2</b>" in text(staff, admin_pages.row(Group.objects.get(pk=2)))
    WalletLabel.objects.all().delete()
    assert "Ada" not in text(staff, admin_pages.table(Contribution))


def test_rows_link_to_what_belongs_to_them(staff: Client) -> None:
    fill(2)
    group = staff.get("/admin/groups/group/2/change/").content.decode()
    user = Group.objects.get(pk=2).creator_id
    for table in ("groups/groupmember", "contributions/contribution", "contributions/payout", "contributions/refund"):
        narrowed = f"/admin/{table}/?group=2"
        assert f'href="{narrowed}"' in group
        assert len(staff.get(narrowed).context["cl"].result_list) == 1
    wallet = staff.get(f"/admin/groups/user/{user}/change/").content.decode()
    for table in ("groups/groupmember", "contributions/contribution", "contributions/payout", "contributions/refund"):
        narrowed = f"/admin/{table}/?user={user}"
        assert f'href="{narrowed}"' in wallet
        assert len(staff.get(narrowed).context["cl"].result_list) == 1
    assert f"/admin/groups/user/{user}/change/" in group
    assert (
        f"/admin/soroban/contractevent/?tx_hash={tx(2)}" in staff.get(admin_pages.table(Contribution)).content.decode()
    )
    assert '"/admin/groups/group/2/change/"' in staff.get("/admin/soroban/contractevent/").content.decode()


def test_a_table_is_narrowed_only_by_columns_that_an_index_begins_with(staff: Client) -> None:
    fill(1)
    unknown: tuple[dict[str, object], ...] = (
        {"amount__gte": 1}, {"group__name__icontains": "x"}, {"user__wallet_address__regex": "."}, {"round": 5},
        {"o": "-4.1"}, {"all": ""},
    )  # fmt: skip
    for query in unknown:
        answer = staff.get(admin_pages.table(Contribution, source="event", **query), follow=True)
        assert answer.redirect_chain == [(admin_pages.table(Contribution, source="event"), 302)]
        (name,) = query
        [told] = [str(message) for message in answer.context["messages"]]
        assert told.startswith(f"This table takes no {name}. It is narrowed by group, source, tx_hash, user, beside")
        assert answer.context["cl"].queryset.query.order_by == ("-order_key", "-id")


def test_a_groups_rows_are_narrowed_to_a_round(staff: Client) -> None:
    """Breaks as a bare 400 if only columns that begin an index were taken: a group's rows are few."""
    fill(3)
    group = Group.objects.get(pk=2)
    Contribution.objects.create(group=group, user=group.creator, round=5, amount=7)
    shown = staff.get(admin_pages.table(Contribution, group=2, round=5)).context["cl"]
    assert [(row.group_id, row.round, row.amount) for row in shown.result_list] == [(2, 5, 7)]
    for model in (Payout, Refund):
        assert not staff.get(admin_pages.table(model, group=2, round=5)).context["cl"].result_list
    assert len(staff.get(admin_pages.table(ContractEvent, group_id=2, round=1)).context["cl"].result_list) == 1


@pytest.mark.parametrize("query", [{"group": "x"}, {"group": "2", "round": "x"}, {"source": "nobody"}, {"p": "2"}])
def test_a_value_that_cannot_be_used_is_told_in_words(staff: Client, query: dict[str, str]) -> None:
    answer = staff.get(admin_pages.table(Contribution, **query), follow=True)
    assert [status for _, status in answer.redirect_chain] == [302]
    assert "A value in that address cannot be used here: this is the whole table." in text_of(answer)


def test_members_of_a_group_are_listed_in_payout_order(staff: Client) -> None:
    fill(2)
    members(Group.objects.get(pk=2), 60)
    for query in ({"group": 2}, {"q": "2"}):
        seen, address = [], admin_pages.table(GroupMember, **query)
        for _ in range(2):
            shown = staff.get(address).context["cl"]
            seen += [row.position for row in shown.result_list]
            address = admin_pages.table(GroupMember) + (shown.next_page or "")
        assert seen == list(range(61))


def test_a_finished_group_has_no_next_payout(staff: Client) -> None:
    """Breaks if the contract's last state were shown as what comes: its index is past the last member."""
    fill(3)
    for number, status in enumerate(("active", "completed", "cancelled"), start=1):
        index = int(status == "completed")
        Group.objects.filter(pk=number).update(status=status, payout_index=index, cycle_duration=604_800)
        page = text(staff, admin_pages.row(Group.objects.get(pk=number)))
        active = status == "active"
        assert ("Next payout: - " in page) != active
        assert ("Payout index: - " in page) != active
        assert ("Grace ends: - " in page) != active
        assert ("Payout index: 0 " in page) == active


@by_table
def test_a_key_that_no_row_can_have_leads_back_to_the_front_page(chief: Client, model: type[Model]) -> None:
    for key in ("%00", "a%00b", "zzz", "9" * 60):
        for action in ("change", "history"):
            assert chief.get(f"{admin_pages.table(model)}{key}/{action}/").status_code in (302, 404), (key, action)


def test_an_apps_own_page_has_no_panel(staff: Client) -> None:
    assert "chain-panel" in staff.get("/admin/").content.decode()
    assert "chain-panel" not in staff.get("/admin/groups/").content.decode()


def test_the_stock_autocomplete_which_counts_is_closed(chief: Client) -> None:
    query = {"app_label": "groups", "model_name": "group", "field_name": "creator", "term": ""}
    assert chief.get("/admin/autocomplete/", query).status_code == 404


def test_the_front_page_says_how_the_chain_is_followed(staff: Client) -> None:
    assert "nothing has been read from the chain yet" in text(staff, "/admin/")
    Checkpoint.objects.create(
        network_passphrase=SANDBOX_PASSPHRASE, contract=CONTRACT, start_ledger=1, ledger=70, chain_ledger=75,
        halted="the network was reset", drift_metadata=3,
    )  # fmt: skip
    HistoryGap.objects.create(network_passphrase="Some net", contract=contract(1), from_ledger=1, to_ledger=2, why="-")
    SyncRun.objects.create(kind="sync", outcome="failed", reason=HOSTILE)
    for number in range(2):
        UndecodedEntry.objects.create(key=str(number), xdr="", error="", ledger=1)
    page = text(staff, "/admin/")
    for fact in (
        f"Network {SANDBOX_PASSPHRASE}", f"Contract {CONTRACT}", "Tables at ledger 70",
        "Sync stopped: the network was reset; `manage.py reset_chain --yes` starts afresh",
        "Chain at ledger 75, 5 ahead of the tables", "Chain heard never",
        "Last sync failed: <script>alert(1)</script>⟨U+202E⟩",
        "Last sweep none has ended yet", "Groups archived within a week 0", "Groups archived 0",
        "Gaps in history 1", "Undecoded entries 2", "Drift that sweeps found state 0, metadata 3, history 0",
    ):  # fmt: skip
        assert fact in page
    assert [sql for sql in queries(staff, "/admin/") if "COUNT(" in sql.upper()] == []
    assert account(1) not in page


def test_groups_with_an_entry_near_its_end_are_counted_and_listed(staff: Client) -> None:
    Checkpoint.objects.create(network_passphrase=SANDBOX_PASSPHRASE, contract=CONTRACT, start_ledger=1, chain_ledger=70)
    fill(5)
    ends = ((None, None), (69, 500), (10**7, 0), (71, None), (None, 70 + EXPIRING_SOON))
    for group, (state, history) in zip(Group.objects.order_by("id"), ends, strict=True):
        Group.objects.filter(pk=group.pk).update(live_until_ledger=state, history_live_until_ledger=history)
    page = staff.get("/admin/").content.decode()
    for life, name in (("archived", "Groups archived"), ("ends", "Groups archived within a week")):
        assert "2 rows on this page" in text(staff, admin_pages.table(Group, life=life))
        assert f"{name} 2" in text(staff, "/admin/")
        assert f'{admin_pages.table(Group, life=life)}"' in page


def test_a_token_of_which_less_is_held_than_owed_is_shown(staff: Client) -> None:
    words = {"symbol": "XLM", "decimals": 7, "verified": True}
    Checkpoint.objects.create(network_passphrase=SANDBOX_PASSPHRASE, contract=CONTRACT, start_ledger=1)
    Token.objects.create(address=contract(1), balance=10_000_000, owed=I128_MAX + 1, checked_ledger=5, **words)
    Token.objects.create(address=contract(2), balance=5, owed=5, checked_ledger=5, **words)
    Token.objects.create(address=contract(3), **words)
    assert "Tokens of which less is held than owed 1" in text(staff, "/admin/")
    assert staff.get(admin_pages.table(Token)).content.decode().count("not known") == 2
    short = text(staff, admin_pages.table(Token, solvency="short"))
    assert "1 row on this page" in short
    assert "1.0000000 XLM · 10000000" in short
    assert f"17014118346046923173168730371588.4105728 XLM · {2**127}" in short


def test_a_token_of_which_less_is_held_by_booked_premiums_alone_is_told_apart(staff: Client) -> None:
    """Breaks if it were told as the others: a person would look for money that was never collected."""
    words = {"symbol": "XLM", "decimals": 7, "verified": True, "checked_ledger": 5}
    Checkpoint.objects.create(network_passphrase=SANDBOX_PASSPHRASE, contract=CONTRACT, start_ledger=1)
    Token.objects.create(address=contract(1), balance=10**38, owed=10**38 + 70, booked_premiums=70, **words)
    Token.objects.create(address=contract(2), balance=10**38 - 1, owed=10**38 + 70, booked_premiums=70, **words)
    safe_text = "less is held than owed 1, and 1 by premiums alone that the contract booked and collected from nobody"
    assert safe_text in text(staff, "/admin/")
    for which, address in (("premiums", contract(1)), ("short", contract(2))):
        rows = staff.get(admin_pages.table(Token, solvency=which)).content.decode()
        assert [each in rows for each in (contract(1), contract(2))] == [address == contract(1), address == contract(2)]
    assert "0.0000070 XLM · 70" in text(staff, admin_pages.table(Token, solvency="premiums"))
