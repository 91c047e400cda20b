"""Keyset pages: nothing is skipped or repeated, whatever arrives meanwhile; a cursor is for its own list only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import User as Account
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from contributions.models import Contribution
from groups.models import Group
from tests.support.factories import API, account, event_id, make_checkpoint, make_event, make_group, make_row

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _checkpoint() -> None:
    make_checkpoint()


def get(client: Client, url: str) -> dict[str, Any]:
    response = client.get(url)
    assert response.status_code == 200, response.content
    body: dict[str, Any] = response.json()
    return body


def pages(client: Client, url: str, follow: str = "next") -> Iterator[dict[str, Any]]:
    page = get(client, url)
    while True:
        yield page
        if page[follow] is None:
            return
        page = get(client, page[follow])


def ids(page: dict[str, Any]) -> list[str]:
    return [row["id"] for row in page["results"]]


def make_groups(count: int) -> None:
    """With amounts and member counts that tie, and in which no ordering is that of the ids."""
    for number in range(1, count + 1):
        members = tuple(range(1, 2 + number % 3))
        make_group(
            number, members=members, contribution_amount=number * 7 % 5, status=["active", "completed"][number % 2]
        )


@pytest.mark.parametrize("ordering", ["id", "contribution_amount", "member_count"])
@pytest.mark.parametrize("sign", ["", "-"])
@pytest.mark.parametrize("query", ["", "status=active&", "amount_min=1&", f"member={account(1)}&", "search=&"])
def test_walking_forth_and_back_gives_every_row_once_in_order(
    client: Client, ordering: str, sign: str, query: str
) -> None:
    make_groups(23)
    Group.objects.update(name="savers")
    query = query.replace("search=&", "search=avers&")
    url = f"{API}groups/?{query}ordering={sign}{ordering}&limit=4"
    walked = list(pages(client, url))
    forth = [number for page in walked for number in ids(page)]
    rows = [Group.objects.get(pk=number) for number in forth]
    keys = [(getattr(row, ordering), row.pk) for row in rows]
    assert keys == sorted(keys, reverse=bool(sign))
    assert len(forth) == len(set(forth))
    whole = get(client, url.replace("limit=4", "limit=200"))
    assert (ids(whole), whole["next"], whole["previous"]) == (forth, None, None)
    assert walked[0]["previous"] is None
    back = [ids(page) for page in pages(client, walked[-1]["previous"], follow="previous")]
    assert [number for page in reversed(back) for number in page] == [n for page in walked[:-1] for n in ids(page)]


def test_history_is_walked_whole_while_rows_arrive(client: Client) -> None:
    make_group(1, members=(1, 2))
    for ledger in range(1, 20):
        make_row(Contribution, 1, 1, ledger, ledger)
    for recovered in range(100, 107):
        make_row(Contribution, 1, 2, recovered, None)
    before = [row["id"] for page in pages(client, f"{API}contributions/") for row in page["results"]]
    walked = []
    for arriving, page in enumerate(pages(client, f"{API}contributions/?limit=3")):
        walked += ids(page)
        make_row(Contribution, 1, 1, 1000 + arriving, 1000 + arriving)
    assert walked == before
    assert before[-7:] == [f"1-{number}-{account(2)}" for number in range(106, 99, -1)]


def test_groups_that_arrive_while_the_oldest_are_walked_come_last(client: Client) -> None:
    make_groups(5)
    first = get(client, f"{API}groups/?ordering=id&limit=3")
    make_group(6)
    second = get(client, first["next"])
    assert (ids(first), ids(second)) == (["1", "2", "3"], ["4", "5", "6"])


def test_a_groups_members_are_walked_in_payout_order(client: Client) -> None:
    make_group(1, members=(5, 3, 9, 1, 7))
    walked = [row for page in pages(client, f"{API}groups/1/members/?limit=2") for row in page["results"]]
    assert [(row["position"], row["address"]) for row in walked] == [
        (place, account(number)) for place, number in enumerate((5, 3, 9, 1, 7))
    ]


def test_links_are_absolute_from_the_public_url_whatever_the_host_says(client: Client, settings: Settings) -> None:
    settings.PUBLIC_URL = "https://ajo.example"
    make_groups(5)
    page = get(client, f"{API}groups/?limit=2&status=active&min_ledger=5")
    link = urlsplit(client.get(f"{API}groups/?limit=2", headers={"Host": "localhost"}).json()["next"])
    assert (link.scheme, link.netloc, link.path) == ("https", "ajo.example", f"{API}groups/")
    assert page["next"] is None or "min_ledger" not in page["next"]


def test_a_cursor_of_another_list_filter_or_ordering_is_400(client: Client) -> None:
    make_groups(9)
    cursor = parse_qs(urlsplit(get(client, f"{API}groups/?limit=2")["next"]).query)["cursor"][0]
    assert client.get(f"{API}groups/?cursor={cursor}&limit=7").status_code == 200
    for other in ("users/?", "contributions/?", "groups/?status=active&", "groups/?ordering=id&", "groups/1/members/?"):
        assert client.get(f"{API}{other}cursor={cursor}").status_code == 400, other


def test_a_cursor_that_was_changed_is_400(client: Client, settings: Settings) -> None:
    make_groups(5)
    cursor = parse_qs(urlsplit(get(client, f"{API}groups/?limit=2")["next"]).query)["cursor"][0]
    for changed in (cursor[:-4], cursor[4:], cursor.swapcase(), cursor + "AAAA", "AAAA" + cursor):
        assert client.get(f"{API}groups/?cursor={changed}").status_code == 400
    settings.SECRET_KEY = "another"
    assert client.get(f"{API}groups/?cursor={cursor}").status_code == 400


def test_a_cursor_and_a_session_outlive_a_change_of_the_secret_key(client: Client, settings: Settings) -> None:
    """Breaks if only the newest key counted: whoever pages or is signed in while it is changed is thrown out."""
    make_groups(5)
    client.force_login(Account.objects.create_superuser("chief"))
    first = get(client, f"{API}groups/?ordering=id&limit=2")
    old, settings.SECRET_KEY = settings.SECRET_KEY, "a new key, of thirty-two characters or more"
    settings.SECRET_KEY_FALLBACKS = ["one in between", old]
    second = get(client, first["next"])
    assert ids(second) == ["3", "4"]
    assert client.get("/admin/").status_code == 200
    settings.SECRET_KEY_FALLBACKS = []  # what is handed out now needs the old key no longer
    assert ids(get(client, second["next"])) == ["5"]
    assert client.get(first["next"]).status_code == 400


def test_events_lead_on_for_ever(client: Client) -> None:
    for ledger in range(1, 6):
        make_event(ledger)
    first = get(client, f"{API}events/?limit=3")
    second = get(client, first["next"])
    third = get(client, second["next"])
    assert ids(first) + ids(second) == [event_id(ledger) for ledger in range(1, 6)]
    assert (ids(third), third["next"]) == ([], second["next"])
    make_event(6)
    assert ids(get(client, third["next"])) == [event_id(6)]
    assert ids(get(client, f"{API}events/?after={event_id(4)}")) == [event_id(5), event_id(6)]


@pytest.mark.parametrize(
    ("path", "queries"),
    [
        ("groups/", 4), (f"groups/?member={account(1)}", 6), ("groups/1/members/", 4), ("groups/1/events/", 3),
        ("groups/1/contributions/", 4), ("users/", 2), (f"users/{account(1)}/groups/", 6), ("contributions/", 3),
        (f"users/{account(1)}/dues/", 8), (f"users/{account(1)}/contributions/", 4), ("events/", 2),
    ],
)  # fmt: skip
def test_a_page_costs_as_many_queries_whatever_its_size(
    client: Client, django_assert_num_queries: DjangoAssertNumQueries, path: str, queries: int
) -> None:
    make_group(1, members=tuple(range(1, 9)))
    for number in range(2, 9):
        make_group(number)
    for ledger in range(1, 9):
        make_event(ledger)
        make_row(Contribution, 1, 1, ledger, ledger)
    for limit in (1, 200):
        with django_assert_num_queries(queries):
            assert len(client.get(API + path, {"limit": str(limit)} | _query(path)).json()["results"]) == min(limit, 8)


def _query(path: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}
