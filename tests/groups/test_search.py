"""Search in names: of every script, however they are written, and by an index in every locale."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import connection, connections
from django.db.models import Model
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_django import DjangoDbBlocker

from groups.models import Group, WalletLabel
from groups.search import is_searchable
from tests.support import admin_pages
from tests.support.admin_pages import shown_text
from tests.support.databases import LOCALE_C, manage, use_database
from tests.support.factories import API, account, make_checkpoint, make_group

NAMES = {
    1: "Ẹgbẹ́ Àjọ Ìbàdàn",
    2: "Ομάδα Αποταμίευσης",
    3: "جمعية الأَمَل",
    4: "社区互助储蓄会",
    5: "Кружок ёлка",
    6: "모임 저축",
    7: "बचत समूह",
    8: "Łódź Straße",
    9: "🎉🎊💰 party",
    10: "ＦＵＬＬ width ﬁne",
    11: "がくせい 貯金",
    12: "100% (_)=\\\\ ok",
}
# a term, and the groups whose names contain it
FOUND = [
    ("ajo iba", [1]), ("ÀJỌ", [1]), ("egbe", [1]), ("ομαδα", [2]), ("ΑΠΟΤΑΜΙΕΥΣΗΣ", [2]),
    ("جمعية", [3]), ("الامل", [3]), ("互助储", [4]), ("会社区", []), ("КРУЖОК", [5]),
    ("елка", [5]), ("모임 저", [6]), ("समूह", [7]), ("समह", []), ("lodz", [8]),
    ("STRASSE", [8]), ("🎊💰 ", [9]), ("full", [10]), ("fine", [10]), ("がくせ", [11]),
    ("かくせ", []), ("   ", []), ("___", []), ("%%%", []), ("\\\\\\\\", []),
    ("100%", [12]), (")=\\\\", [12]), ("(_)=", [12]),
]  # fmt: skip
MANY = 20_000
WRITTEN = st.characters(exclude_characters="\0", exclude_categories=["Cs", "Mn", "Mc"])
ALPHABETS = (
    "αβγδεζηθικλμνξο",
    "ابتثجحخدذرزسشصض",
    "会社区互助储蓄金钱人民共和国",
    "кругваблдежзийм",
    "🎉🎊💰🏦🌍🌱🤝🧺🪙📈📦🔑🔒",
)


@pytest.fixture
def staff(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create(username="clerk", is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def _named(db: None) -> None:
    make_checkpoint()
    for number, name in NAMES.items():
        make_group(number, name=name)


def found(client: Client, term: str) -> list[int]:
    response = client.get(f"{API}groups/", {"search": term})
    assert response.status_code == 200, response.content
    return [int(group["id"]) for group in response.json()["results"]]


@pytest.mark.usefixtures("_named")
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_name_is_found_in_whatever_form_case_and_accents_it_is_typed(
    client: Client, staff: Client, form: Any
) -> None:
    for term, groups in FOUND:
        typed = unicodedata.normalize(form, term)
        assert found(client, typed) == groups, term
        if typed == typed.strip():  # staff's terms lose the spaces around them
            listed = staff.get(admin_pages.table(Group, q=typed)).context["cl"].result_list
            assert [group.pk for group in listed] == groups, term


@pytest.mark.usefixtures("_named")
@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
def test_a_whole_name_finds_its_group_composed_and_decomposed(client: Client, form: Any) -> None:
    for number, name in NAMES.items():
        assert found(client, unicodedata.normalize(form, name)) == [number]


@pytest.mark.usefixtures("_named")
@pytest.mark.parametrize("term", ["ab", "áb", "a\u0301b", "x" * 51])
def test_what_is_too_short_or_too_long_is_refused_by_the_letters_that_count(client: Client, term: str) -> None:
    response = client.get(f"{API}groups/", {"search": term})
    assert (response.status_code, response.json()["detail"]) == (
        400, "search: From 3 to 50 characters are expected; of Chinese, Japanese and Korean two will do.",
    )  # fmt: skip


@pytest.mark.usefixtures("_named")
def test_a_term_with_too_few_letters_for_the_index_finds_nothing(client: Client, staff: Client) -> None:
    assert [found(client, term) for term in ("a\u200b\u200b\u200b", "\u0301\u0302\u0303")] == [[], []]
    assert list(staff.get(admin_pages.table(Group, q="a\u0301\u0302")).context["cl"].result_list) == []


@pytest.mark.parametrize("model", [Group, WalletLabel])
@pytest.mark.parametrize(
    ("term", "is_taken"),
    [("ab", False), ("á", False), ("社", False), ("社区", True), ("a区", True), ("社a", True), ("abc", True)],
)
def test_staff_are_told_what_is_too_short_to_be_found(
    staff: Client, model: type[Model], term: str, is_taken: bool
) -> None:
    """Breaks if a list took what its index cannot find: it would be empty without a word."""
    assert is_searchable(term) == is_taken
    page = shown_text(staff, admin_pages.table(model, q=term))
    told = "Nothing here is looked up by that. In full: "
    assert (told in page) != is_taken
    assert "three characters or more (of Chinese, Japanese and Korean two)" in page


def test_staffs_own_labels_are_found_alike(staff: Client) -> None:
    label = WalletLabel.objects.create(address=account(1), label="Trésorière Ọlá")
    for term in ("tresoriere", "TRÉSORIÈRE", "Tre\u0301sorie\u0300re", "ola"):
        assert [row.pk for row in staff.get(admin_pages.table(WalletLabel, q=term)).context["cl"].result_list] == [
            label.pk
        ]
    label.label = "Кассир"
    label.save()
    assert list(staff.get(admin_pages.table(WalletLabel, q="ola")).context["cl"].result_list) == []
    assert [row.pk for row in staff.get(admin_pages.table(WalletLabel, q="кассир")).context["cl"].result_list] == [
        label.pk
    ]


@pytest.mark.django_db
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(WRITTEN), st.text(WRITTEN, min_size=3), st.text(WRITTEN))
def test_every_part_of_a_name_finds_it(before: str, part: str, after: str) -> None:
    """Parts begin and end at whole letters: what belongs to a letter is not cut off from it."""
    name = f"{before} {part} {after}"
    with connection.cursor() as cursor:
        cursor.execute("SELECT ajo_search_key(%s), ajo_search_key(%s) LIKE ajo_search_pattern(%s)", [name, name, part])
        [row] = cursor.fetchall()
    digest = row[0].partition("=")[0]
    assert digest.isascii()
    assert digest.isalnum()
    assert row[1] is not False  # null: too short for the index


@pytest.mark.usefixtures("_named")
def test_the_key_follows_the_name_whoever_writes_it(client: Client) -> None:
    Group.objects.filter(pk=1).update(name="Συνεταιρισμός")
    assert found(client, "συνεταιρισμοσ") == [1]
    assert found(client, "egbe") == []
    Group.objects.filter(pk=1).update(search_key="something else")
    assert found(client, "συνεταιρισμοσ") == [1]


def made_up(number: int) -> str:
    """A name of ten characters of one script, another for each number."""
    alphabet = ALPHABETS[number % len(ALPHABETS)]
    rest, name = number * 7_919, ""
    for _ in range(10):
        rest, digit = divmod(rest * 31 + 7, len(alphabet))
        name += alphabet[digit]
    return name


@pytest.fixture(scope="module")
def many_names(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """The alias of a database of locale C, migrated by manage.py, with names of five scripts."""
    with use_database("ajo_locale_c", LOCALE_C) as address:
        done = manage(address, "migrate", "-v", "0")
        assert done.returncode == 0, done.stderr
        with psycopg.connect(address) as session, session.cursor() as cursor:
            cursor.execute("INSERT INTO groups_user (wallet_address) VALUES ('G')")
            columns = (
                "id, name, description, rules, creator_id, contribution_amount, cycle_duration,"
                " max_members, member_count, current_round, payout_index, contributions_received, status, entry_xdr,"
                " metadata_xdr, modified_ledger, synced_ledger, revision, verified_round, unproven_rows"
            )
            with cursor.copy(f"COPY groups_group ({columns}) FROM STDIN") as copy:
                for n in range(1, MANY + 1):
                    copy.write_row((
                        n, made_up(n), "", "", 1, 1, 1, 5, 1, 1, 0, 0, "active", "", "", 1, 1, 1, 0, 0,
                    ))  # fmt: skip
        with psycopg.connect(address, autocommit=True) as session:
            session.execute("VACUUM ANALYZE")
        with django_db_blocker.unblock():
            values = connection.settings_dict | {"NAME": "ajo_locale_c", "OPTIONS": {}}
            connections.settings["locale_c"] = values
            try:
                yield "locale_c"
            finally:
                connections["locale_c"].close()
                del connections["locale_c"]
                del connections.settings["locale_c"]


@pytest.mark.parametrize("number", range(MANY - len(ALPHABETS), MANY))
def test_in_locale_c_a_search_in_any_script_reads_what_it_finds(many_names: str, number: int) -> None:
    term = made_up(number)[3:7]
    rows = Group.objects.using(many_names).filter(search_key__finds=term).order_by("-id")
    expected = sorted((n for n in range(1, MANY + 1) if term in made_up(n)), reverse=True)
    assert list(rows.values_list("pk", flat=True)) == expected
    [plan] = json.loads(rows[:20].explain(analyze=True, format="json"))
    read, nodes = 0, [plan["Plan"]]
    while nodes:
        node = nodes.pop()
        nodes += node.get("Plans", [])
        assert node["Node Type"] != "Seq Scan"
        if node.get("Relation Name") == "groups_group":
            read += node["Actual Rows"] + node.get("Rows Removed by Index Recheck", 0)
            read += node.get("Rows Removed by Filter", 0)
    assert read <= 2 * len(expected) + 20
