"""Durations, shares and times are told as people say them."""

from datetime import UTC, datetime, timedelta

import pytest

from ajo.adminkit.words import at, duration, percent, relative

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"), (59.9, "59 s"), (60, "1 min"), (90, "1 min 30 s"), (900, "15 min"), (3_600, "1 h"),
        (3_600 + 1_800, "1 h 30 min"), (86_400, "1 day"), (86_400 + 7_200, "1 day 2 h"), (604_800, "7 days"),
        (-604_800, "7 days"), (10**9, "11,574 days"), (2**64 - 1, "more than 1,000 years"),
    ],
)  # fmt: skip
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("points", "words"), [(0, "0 %"), (250, "2.5 %"), (10_000, "100 %"), (1, "0.01 %"), (110, "1.1 %")]
)
def test_shares_are_exact(points: int, words: str) -> None:
    assert percent(points) == words


def test_times_name_their_zone_and_their_distance() -> None:
    assert relative(NOW + timedelta(hours=3), NOW) == "in 3 h"
    assert relative(NOW - timedelta(minutes=48), NOW) == "48 min ago"
    assert at(NOW, NOW) == "2026-11-25 12:00 UTC (in 0 s)"
    assert at(None, NOW) == "at no time that a calendar holds"
