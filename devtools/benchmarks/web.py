"""The measures of the web processes."""

import http.client
import json
import random
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from itertools import accumulate
from statistics import median
from typing import NamedTuple

from devtools.benchmarks.place import SECRET, Place, Rate, Web, beside, median_seconds
from devtools.benchmarks.rows import MEMBERS, wallet

API = "/api/v1/"
REQUESTS = 30  # single requests of which the median is taken
ROUNDS = 5  # of rates, and of reads beside a sync
READ_GROUPS = 10_000  # whose cached bodies are read beside a sync


class Measure(NamedTuple):
    """A measure and its yardstick. `goal` bounds `ratio`, ours / yardstick: rates from below, times from above."""

    name: str
    ours: float
    yardstick: float
    unit: str
    goal: float

    @property
    def ratio(self) -> float:
        return self.ours / self.yardstick

    @property
    def met(self) -> bool:
        return self.ratio >= self.goal if self.unit.endswith("/s") else self.ratio <= self.goal


def group_paths(groups: int, count: int, *, zipf: bool) -> list[str]:
    """Return paths of random groups; with `zipf`, the n-th most frequent is 1/n as frequent as the first."""
    rng = random.Random(1)  # the same requests in each run
    numbers = list(range(1, groups + 1))
    rng.shuffle(numbers)
    weights = list(accumulate(1 / n for n in range(1, groups + 1))) if zipf else None
    return [f"{API}groups/{n}/" for n in rng.choices(numbers, cum_weights=weights, k=count)]


def cached(place: Place, groups: int) -> Iterator[Measure]:
    """Measure answers from Redis and from a process's memory, beside a bare answer of the same size."""
    hot, many, page = [f"{API}groups/7/"], group_paths(groups, 100_000, zipf=True), [f"{API}groups/"]
    place.chain("warm", groups)
    with place.web() as web, ExitStack() as ends:
        body, headers = fetch(web, hot[0])
        known = f"If-None-Match: {headers['ETag']}"
        small, large = (
            ends.enter_context(place.web("devtools.benchmarks.bare", BENCH_BODY=str(len(each))))
            for each in (body, fetch(web, page[0])[0])
        )
        for name, goal, asked, beside in (
            ("cached group, one hot key", 0.7, partial(web.wrk, hot), partial(small.wrk, hot)),
            (f"cached group, Zipf over {groups:,}", 0.4, partial(web.wrk, many), partial(small.wrk, many)),
            ("304 to If-None-Match", 0.7, partial(web.wrk, hot, header=known), partial(small.wrk, hot)),
            ("list, page 1 from the edge", 0.7, partial(web.wrk, page), partial(large.wrk, page)),
        ):
            ours, yardstick = in_turns(asked, beside)
            yield Measure(name, ours, yardstick, "answers/s", goal)


def in_turns(ours: Callable[[], Rate], yardstick: Callable[[], Rate]) -> tuple[float, float]:
    """Return the median rate of each, measured alternately, so that the machine's other load affects both."""
    rates = [(ours().per_second, yardstick().per_second) for _ in range(ROUNDS)]
    mine, bare = map(median, zip(*rates, strict=True))
    return mine, bare


def invalidate_cache(place: Place) -> None:
    """Invalidate the cache: without a watermark nothing in Redis counts."""
    place.run("-c", "import django; django.setup(); from ajo import cache; cache.invalidate_all()")


def uncached(place: Place, groups: int) -> Iterator[Measure]:
    """Measure answers that PostgreSQL builds."""
    paths = group_paths(groups, 20_000, zipf=False)
    invalidate_cache(place)
    with place.web() as web, place.web("devtools.benchmarks.bare", f"{API}groups/7/", BENCH_ROWS="1") as bare:
        ours, yardstick = in_turns(partial(web.wrk, paths), partial(bare.wrk, paths))
        yield Measure("uncached group of ten members", ours, yardstick, "answers/s", 0.5)


def lists(place: Place, groups: int, small: str) -> Iterator[Measure]:
    """Measure single requests that Django answers, beside page one of 1,000 groups."""
    invalidate_cache(place)
    with place.web() as web, place.web(DATABASE_URL=small, REDIS_URL=place.other_redis) as little:
        page = f"{API}groups/"
        deep = cursor_of_page(web, page, min(1000, groups // 20 - 1))
        asked = {
            "list, page 1": page,
            "list, page 1,000": deep,
            "list, member": f"{page}?member={wallet(77)}",
            "list, joinable": f"{page}?joinable=true",
            "list, search": f"{page}?search=harvest",
        }
        yardstick = median_seconds(partial(fetch, little, page), REQUESTS)
        for name, path in asked.items():
            ours = median_seconds(partial(fetch, web, path), REQUESTS)
            yield Measure(name, ours * 1000, yardstick * 1000, "ms", 1.5)


def cursor_of_page(web: Web, page: str, number: int) -> str:
    """Return the path of a page far down, reached in steps of the largest size."""
    path, left = f"{page}?limit=200", number * 20
    while left > 0:
        step = min(200, left)
        path = re.sub(r"limit=\d+", f"limit={step}", path)
        following = json.loads(fetch(web, path)[0])["next"]
        path, left = following[following.index(API) :], left - step
    return re.sub(r"limit=\d+", "limit=20", path)


def admin(place: Place, small: str) -> Iterator[Measure]:
    """Measure the changelist of contributions, beside the same with 1,000 rows."""
    path = "/admin/contributions/contribution/"
    times = []
    for url in (place.env["DATABASE_URL"], small):
        with place.web(DATABASE_URL=url) as web:
            cookies = login(web)
            if fetch(web, path, Cookie=cookies)[0].count(b"<tr") < 20:
                raise SystemExit("the changelist shows no rows")
            times.append(median_seconds(partial(fetch, web, path, Cookie=cookies), REQUESTS) * 1000)
    yield Measure("admin changelist of contributions", times[0], times[1], "ms", 2)


def login(web: Web) -> str:
    """Log in as staff, and return the session's cookies."""
    page, headers = fetch(web, "/admin/login/")
    found = re.search(rb'csrfmiddlewaretoken" value="(\w+)"', page)
    assert found
    token = headers["Set-Cookie"].split(";")[0]
    form = f"csrfmiddlewaretoken={found[1].decode()}&username=bench&password={SECRET}"
    connection = http.client.HTTPConnection("127.0.0.1", web.port)
    kind = "application/x-www-form-urlencoded"
    connection.request("POST", "/admin/login/?next=/admin/", form, {"Cookie": token, "Content-Type": kind})
    answer = connection.getresponse()
    cookies = "; ".join(each.split(";")[0] for each in answer.headers.get_all("Set-Cookie", []))
    connection.close()
    return cookies


def memory(place: Place, groups: int, requests: int) -> Iterator[Measure]:
    """Measure a web process's memory after many requests over all keys, beside that after the first 1,000."""
    paths = group_paths(groups, max(groups, 100_000), zipf=False)
    place.chain("warm", groups)
    with place.web() as web:
        for path in paths[:1000]:
            fetch(web, path)
        first, done = web.memory(), 0
        while done < requests:
            done += web.wrk(paths, seconds=5).requests
        yield Measure(f"memory after {done:,} requests", web.memory() / 2**20, first / 2**20, "MB", 1.3)


def p99(place: Place, events: int, rate: float) -> Iterator[Measure]:
    """Measure p99 of cached reads at a steady pace during a sync of many events, beside the same reads alone."""
    paths, seconds, times = group_paths(READ_GROUPS, 20_000, zipf=True), max(2.0, events / rate), []
    argv = [sys.executable, "-m", "devtools.benchmarks.chain", "events", str(events), "--wait"]
    for turn in range(ROUNDS):  # the same chain each time, so with tables of its own
        tables = place.make_database(f"p99-{turn}", READ_GROUPS, READ_GROUPS * MEMBERS)
        env = {"DATABASE_URL": tables, "REDIS_URL": place.redis(8 + turn)}
        place.chain("warm", READ_GROUPS, env)
        with place.web(**env) as web:
            web.wrk(paths, seconds, pause=10)
            alone = median(web.wrk(paths, seconds, pause=10).p99 for _ in range(3))
            with beside(argv, {**place.env, **env}):
                times.append((web.wrk(paths, seconds, pause=10).p99, alone))
    during, alone = map(median, zip(*times, strict=True))
    yield Measure(f"p99 while {events:,} events are synced", during, alone, "ms", 2)


def fetch(web: Web, path: str, **headers: str) -> tuple[bytes, http.client.HTTPMessage]:
    """Request a path, and return body and headers. Raises SystemExit for any status but 200."""
    connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=30)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != http.client.OK:
            raise SystemExit(f"{path}: {answer.status} {body[:200]!r}")
        return body, answer.headers
    finally:
        connection.close()


def all_measures(place: Place, scale: float) -> Iterator[tuple[str, Callable[[], Iterator[Measure]]]]:
    """Yield each measure by name, in an order in which none affects the next."""
    groups, events = max(1_000, int(100_000 * scale)), 10_000
    small, rates = place.url("small"), {"events": 2_000.0}

    def sync() -> Iterator[Measure]:
        found = place.chain("events", events, {"DATABASE_URL": place.url("history"), "REDIS_URL": place.other_redis})
        rates["events"] = found["ours"]
        yield Measure("events to rows", 1e6 / found["ours"], 1e6 / found["yardstick"], "µs an event", 3)
        yield Measure("events to rows, 3,000 a second", found["ours"], 3_000, "events/s", 1)

    def sweep() -> Iterator[Measure]:
        found = place.chain("sweep", min(groups, 50_000))
        yield Measure("sweep of unchanged groups", 1e6 / found["ours"], 1e6 / found["yardstick"], "µs a group", 2)

    yield "cached", partial(cached, place, groups)
    yield "uncached", partial(uncached, place, groups)
    yield "lists", partial(lists, place, groups, small)
    yield "admin", partial(admin, place, small)
    yield "sweep", sweep
    yield "events", sync
    yield "memory", partial(memory, place, groups, int(200_000 * min(scale, 1)))
    yield "p99", lambda: p99(place, events, rates["events"])
