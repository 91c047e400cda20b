"""Pages of the admin: what each shows, and how many queries it takes."""

import pytest
from django.db.models import Model
from django.test import Client

from ajo.soroban.models import ContractEvent
from contributions.models import Contribution, Payout, Refund
from groups.models import Group, GroupMember, WalletLabel
from tests.support import admin_pages
from tests.support.admin_pages import executed_queries, shown_text, text_of
from tests.support.admin_rows import TABLES, fill, members, tx

pytestmark = pytest.mark.django_db
NAMES = [table._meta.object_name for table in TABLES]
by_table = pytest.mark.parametrize("model", TABLES, ids=NAMES)


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
    few = executed_queries(staff, admin_pages.table(model))
    fill(49, first=2)
    many = executed_queries(staff, admin_pages.table(model))
    assert len(many) == len(few) <= 5  # session, account, its permissions (two), rows
    assert [sql for sql in many if "COUNT(" in sql.upper()] == []


def test_a_group_takes_as_many_queries_with_a_hundred_members_as_with_one(staff: Client) -> None:
    fill(1)
    group = Group.objects.get()
    staff.get(admin_pages.row(group))  # the first page in a process asks for content types
    few = executed_queries(staff, admin_pages.row(group))
    members(group, 99)
    many = executed_queries(staff, admin_pages.row(group))
    assert len(many) == len(few)
    assert [sql for sql in many if "COUNT(" in sql.upper()] == []
    assert "member" in shown_text(staff, admin_pages.row(group))


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


def test_wallets_are_shown_with_what_staff_call_them(staff: Client) -> None:
    fill(2)
    assert "Ada & <b>2</b>" in shown_text(staff, admin_pages.table(Contribution))
    assert "Ada & <b>2</b>" in shown_text(staff, admin_pages.row(Group.objects.get(pk=2)))
    WalletLabel.objects.all().delete()
    assert "Ada" not in shown_text(staff, admin_pages.table(Contribution))


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
        assert told.startswith(
            f"This table takes no {name}. It is narrowed by group, period, source, tx_hash, user, beside"
        )
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
        page = shown_text(staff, admin_pages.row(Group.objects.get(pk=number)))
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


def test_the_stock_autocomplete_which_counts_is_closed(chief: Client) -> None:
    query = {"app_label": "groups", "model_name": "group", "field_name": "creator", "term": ""}
    assert chief.get("/admin/autocomplete/", query).status_code == 404
