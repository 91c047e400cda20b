"""The edge reads from PostgreSQL what Redis does not have, by sessions that end after a while."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from pytest_django import Settings

from ajo import cache
from ajo.cache import redis_client
from ajo.edge import Edge
from ajo.edge.pg_reader import PgReader
from ajo.soroban.models import Checkpoint
from groups.models import Group
from tests.support.edge import Django, ask, django, front
from tests.support.factories import make_group

__all__ = ["django", "front"]
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("begin_another", [False, True])
def test_what_redis_does_not_have_is_read_from_the_tables(front: Edge, django: Django, begin_another: bool) -> None:
    cache.invalidate_all()
    if begin_another:
        cache.start_epoch(Checkpoint.objects.freshness())
    Group.objects.filter(pk=7).update(name="Another", revision=2)
    answer = ask(front)
    assert b"Another" in answer[2]
    assert django.asked == 0
    assert answer == ask(django)
    assert cache.get("group:7").found is not None or not begin_another


def test_without_redis_the_edge_answers_from_the_tables(
    front: Edge, django: Django, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_client, "COOLDOWN", 0)
    settings.REDIS_URL, settings.READ_RATE = "redis://127.0.0.1:1/0", "1/day"
    cache.client.cache_clear()
    try:
        answers = [ask(front) for _ in range(3)]
        assert django.asked == 0
        assert answers == [ask(django)] * 3
    finally:
        cache.client.cache_clear()


def test_a_session_of_the_edge_ends_after_a_while(front: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks if sessions lived for ever: a server that another took over from would go on being asked."""
    opened: list[psycopg.Connection] = []

    def connect(**parameters: Any) -> psycopg.Connection:
        opened.append(psycopg.Connection.connect(**parameters))
        return opened[-1]

    monkeypatch.setattr("ajo.edge.pg_reader.psycopg.connect", connect)
    tables = PgReader()
    for life, sessions in ((0.0, 1), (0.0, 2), (60.0, 3), (60.0, 3)):
        monkeypatch.setattr("ajo.edge.pg_reader.MAX_CONNECTION_AGE", life)
        assert tables.read("7") is not None
        assert len(opened) == sessions
    assert [session.closed for session in opened] == [True, True, False]
    tables.close()


def test_what_was_absent_a_moment_ago_and_is_in_the_tables_now_is_answered(front: Edge, django: Django) -> None:
    """The tables are being filled for the first time. Breaks if the edge believed the absence before it asked the
    tables.
    """
    make_group(8)
    assert ask(front, path="/api/v1/groups/8/") == ask(django, path="/api/v1/groups/8/")
    assert ask(front, path="/api/v1/groups/8/")[0] == "200 OK"
