"""How fresh an answer is: headers beside a body that changes only with its data."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from ajo import cache
from ajo.api import freshness
from ajo.cache import read_through
from ajo.soroban.models import Checkpoint
from groups.models import Group
from tests.support.factories import API, account, make_checkpoint, make_group

pytestmark = pytest.mark.django_db
TABLES = ("groups/", "groups/1/members/", "users/", f"users/{account(1)}/", "events/", "contributions/")


@pytest.fixture(autouse=True)
def _rows() -> None:
    make_checkpoint(1000, chain_ledger=1003)
    make_group(1)


@pytest.mark.parametrize("path", [*TABLES, "groups/1/", "status/"])
def test_an_answer_says_to_which_ledger_it_is_fresh(client: Client, path: str) -> None:
    response = client.get(API + path)
    assert (response.status_code, response["Latest-Ledger"]) == (200, "1000")
    assert "Ajo-Stale" not in response
    assert "Latest-Ledger" in response["Access-Control-Expose-Headers"]
    assert response["Cache-Control"].startswith("public")


@pytest.mark.parametrize("path", [*TABLES, "groups/1/"])
def test_silence_of_the_chain_is_said_beside_the_same_body(client: Client, settings: Settings, path: str) -> None:
    before = client.get(API + path)
    long_ago = datetime.now(UTC) - timedelta(seconds=settings.STALE_AFTER + 1)
    Checkpoint.objects.update(chain_advanced_at=long_ago, ledger=1001)
    after = client.get(API + path)
    assert (after["Ajo-Stale"], after["Latest-Ledger"]) == ("true", "1001")
    assert (after["ETag"], after.content) == (before["ETag"], before.content)


@pytest.mark.parametrize("path", [*TABLES, "groups/1/"])
def test_a_known_body_is_304_with_the_current_freshness(client: Client, path: str) -> None:
    tag = client.get(API + path)["ETag"]
    assert tag.startswith('"')
    Checkpoint.objects.update(ledger=1002)
    for known in (tag, f'"other", {tag}', f"W/{tag}", "*"):
        response = client.get(API + path, headers={"If-None-Match": known})
        assert (response.status_code, response.content) == (304, b"")
        assert (response["ETag"], response["Latest-Ledger"]) == (tag, "1002")
        assert "Content-Type" not in response
        assert response["Cache-Control"].startswith("public")
        assert response["Access-Control-Allow-Origin"] == "*"
    assert client.get(API + path, headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize("path", [*TABLES, "groups/1/"])
@pytest.mark.parametrize("change", ["stale", "ledger"])
def test_a_cache_that_keeps_its_headers_over_a_304_gets_the_whole_answer_once_they_changed(
    client: Client, settings: Settings, path: str, change: str
) -> None:
    """What nginx sends, whose stored headers no 304 replaces: both validators of what it has."""
    first = client.get(API + path)
    both = {"If-None-Match": first["ETag"], "If-Modified-Since": first["Last-Modified"]}
    assert client.get(API + path, headers=both).status_code == 304
    long_ago = datetime.now(UTC) - timedelta(seconds=settings.STALE_AFTER + 1)
    Checkpoint.objects.update(**({"chain_advanced_at": long_ago} if change == "stale" else {"ledger": 1001}))
    again = client.get(API + path, headers=both)
    assert (again.status_code, again["ETag"], again.content) == (200, first["ETag"], first.content)
    assert (again["Latest-Ledger"], "Ajo-Stale" in again) == (("1000", True) if change == "stale" else ("1001", False))
    assert client.get(API + path, headers={"If-None-Match": first["ETag"]}).status_code == 304


def test_a_body_that_changed_has_another_etag(client: Client) -> None:
    tag = client.get(f"{API}groups/")["ETag"]
    Group.objects.update(name="Renamed")
    response = client.get(f"{API}groups/", headers={"If-None-Match": tag})
    assert response.status_code == 200
    assert response["ETag"] != tag


def test_a_404_from_the_tables_says_how_fresh_they_are_and_is_not_kept(client: Client) -> None:
    response = client.get(f"{API}users/{account(99)}/")
    assert (response.status_code, response["Latest-Ledger"], response["Cache-Control"]) == (404, "1000", "no-store")


@pytest.mark.parametrize("path", TABLES)
def test_a_ledger_that_the_tables_have_passed_costs_no_waiting(client: Client, path: str) -> None:
    assert client.get(f"{API}{path}?min_ledger=1000").status_code == 200


def test_a_list_waits_until_the_sync_has_passed_the_ledger(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    naps: list[float] = []

    def sync_passes(seconds: float) -> None:
        naps.append(seconds)
        Checkpoint.objects.update(ledger=1000 + len(naps))
        Group.objects.update(name=f"pass {len(naps)}")

    monkeypatch.setattr("ajo.api.freshness.time.sleep", sync_passes)
    response = client.get(f"{API}groups/?min_ledger=1003")
    assert (response.status_code, response["Latest-Ledger"]) == (200, "1003")
    assert response.json()["results"][0]["name"] == "pass 3"


def test_a_list_that_waited_in_vain_is_503(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freshness, "SYNC_WAIT", 0)
    monkeypatch.setattr(freshness, "SYNC_POLL", 0)
    response = client.get(f"{API}contributions/?min_ledger=1001")
    assert response.status_code == 503
    assert int(response["Retry-After"]) >= 1


def test_a_client_waits_once_and_leaves_a_place_to_others(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks if three connections of one client could take all waiting places: nobody else could read his write."""
    answers: list[Any] = []

    def ask_again(seconds: float) -> None:
        if answers:  # the other client's, while the first one waits as well
            Checkpoint.objects.update(ledger=1001)
            return
        answers.append(client.get(f"{API}users/?min_ledger=1001"))
        answers.append(client.get(f"{API}groups/1/?min_ledger=1001"))
        answers.append(client.get(f"{API}users/?min_ledger=1001", REMOTE_ADDR="192.0.2.9"))

    monkeypatch.setattr("ajo.api.freshness.time.sleep", ask_again)
    assert client.get(f"{API}users/?min_ledger=1001").status_code == 200
    assert [answer.status_code for answer in answers] == [503, 503, 200]
    assert answers[0].json()["detail"] == "Another request of yours waits for the sync."
    assert int(answers[0]["Retry-After"]) >= 1


def test_a_client_that_waits_in_another_process_waits_there_alone(client: Client) -> None:
    cache.client().set(f"{cache.PREFIX}waiting:127.0.0.1", "another process", ex=9)
    assert client.get(f"{API}users/?min_ledger=1001").status_code == 503


def test_places_are_never_all_threads(client: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.WEB_THREADS = 2
    read_through.reset_for_tests()
    answers: list[Any] = []

    def ask_again(seconds: float) -> None:
        answers.append(client.get(f"{API}users/?min_ledger=1001", REMOTE_ADDR="192.0.2.9"))
        Checkpoint.objects.update(ledger=1001)

    monkeypatch.setattr("ajo.api.freshness.time.sleep", ask_again)
    assert client.get(f"{API}users/?min_ledger=1001").status_code == 200
    read_through.reset_for_tests()
    assert [answer.status_code for answer in answers] == [503]


@pytest.mark.parametrize("path", [*TABLES, "groups/1/", "groups/77/"])
def test_a_ledger_that_cannot_come_while_one_waits_is_refused_at_once(
    client: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """A minute ahead of the chain. Breaks if it were waited for: each takes a place for five seconds, in vain."""
    followed = Checkpoint.objects.get()
    settings.STELLAR_NETWORK_PASSPHRASE, settings.AJO_CONTRACT_ID = followed.network_passphrase, followed.contract
    monkeypatch.setattr("ajo.api.freshness.time.sleep", pytest.fail)
    for ahead in (12, 6):
        response = client.get(f"{API}{path}?min_ledger={1003 + ahead}")
        assert (response.status_code, response.json()["detail"]) == (503, "The chain is at ledger 1003, as last heard.")
        assert 4 <= int(response["Retry-After"]) <= 60


def test_a_ledger_that_the_chain_may_have_by_now_is_waited_for(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was heard half a minute ago: it has closed others since."""
    Checkpoint.objects.update(chain_advanced_at=datetime.now(UTC) - timedelta(seconds=30))
    monkeypatch.setattr("ajo.api.freshness.time.sleep", lambda _: Checkpoint.objects.update(ledger=1010))
    assert client.get(f"{API}users/?min_ledger=1010").status_code == 200


def test_a_group_that_was_read_at_such_a_ledger_is_answered(client: Client) -> None:
    """By another reader, while the sync is behind."""
    Group.objects.update(synced_ledger=1007)
    assert client.get(f"{API}groups/1/?min_ledger=1007").status_code == 200


@pytest.mark.parametrize("path", [*TABLES, "groups/1/", "status/"])
def test_a_ledger_far_beyond_the_chain_is_400(client: Client, path: str) -> None:
    response = client.get(f"{API}{path}?min_ledger=1016")
    assert (response.status_code, set(response.json()["errors"])) == (400, {"min_ledger"})


def test_a_group_that_was_read_before_the_ledger_needs_the_chain(client: Client) -> None:
    assert client.get(f"{API}groups/1/?min_ledger=1000").status_code == 200
    response = client.get(f"{API}groups/1/?min_ledger=1001")  # nobody serves an RPC here
    assert response.status_code == 503
    assert "127.0.0.1" not in response.json()["detail"]


def test_before_the_first_sync_lists_are_empty_and_stale(client: Client) -> None:
    Checkpoint.objects.all().delete()
    response = client.get(f"{API}events/")
    assert (response["Latest-Ledger"], response["Ajo-Stale"]) == ("0", "true")
    assert client.get(f"{API}users/?min_ledger=7").status_code == 503
