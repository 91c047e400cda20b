"""Whatever an RPC address answers instead of an answer: it is left for the next one, and nothing is lost or doubled.

The service runs in real processes; its first RPC address is what fails, its second is well unless a test says so.
"""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.faults import TRANSPORT, Twice, hangs
from tests.support.proxy import Fault
from tests.support.running import Running
from tests.support.waiting import wait_for

pytestmark = [
    pytest.mark.system_long,
    # Part starts its process with a function of its own between fork and exec, which newer Pythons warn of
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),
]


@pytest.fixture(autouse=True)
def in_peace(up: Running) -> Iterator[None]:
    """Each test begins with nodes that nobody has left, and ends with tables that equal the chain."""
    up.forgive()
    yield
    up.forgive()
    up.settle()
    assert up.events_lost() == set()


def goes_on_without_the_first(up: Running, answer: str) -> None:
    """The first address is left with its reason; the tables follow the chain by the second; reads are answered."""
    with up.life(), up.reading() as seen:
        wait_for(lambda: answer in up.node(up.first).last_error, what=f"the first node's last error: {answer}")
        assert up.node(up.first).failures > 0
        up.advances(20)
    assert seen.failures() == []


@pytest.mark.parametrize("name", TRANSPORT)
def test_an_address_that_fails_is_left_for_the_next_one_and_taken_again(up: Running, name: str) -> None:
    """Breaks without the transport's translation of errors (an SDK's, pydantic's or json's exception ends the pass and
    no address is left), without the id check (`wrong id`), without RPC_TIMEOUT (`hang`), without MAX_RETRY_AFTER (`429
    for an hour`: the pass sleeps through it).
    """
    fault, answer = TRANSPORT[name]
    with up.first.failing(fault):
        goes_on_without_the_first(up, answer)
    up.forgive()
    with up.life():
        wait_for(lambda: up.node(up.first).answered_at and not up.node(up.first).failures, what="the first again")


def test_an_address_that_refuses_is_left_and_comes_back_by_itself(up: Running) -> None:
    """Breaks without the backoff of nodes (every pass asks the first address alone), and at the end if `left_until`
    never passed.
    """
    with up.first.refusing():
        goes_on_without_the_first(up, "cannot be reached")
        before = up.node(up.first).answered_at
    with up.life():
        wait_for(lambda: (up.node(up.first).answered_at or before) != before, 60, "the first address is asked again")


@pytest.mark.parametrize("fault", [None, hangs, TRANSPORT["HTML"][0]], ids=["refused", "hang", "HTML"])
def test_while_every_address_fails_known_rows_are_answered_and_marked_stale(up: Running, fault: Fault | None) -> None:
    """Breaks if `chain_advanced_at` moved with a pass rather than with the chain (never stale), or if a read asked the
    chain for what the tables know (503, or slow as the RPC's timeout).
    """
    with ExitStack() as failing, up.reading() as seen:
        for proxy in (up.first, up.second):
            failing.enter_context(proxy.refusing() if fault is None else proxy.failing(fault))
        up.history.walk(3)
        wait_for(lambda: seen.stale, 20, "answers marked stale")
        wait_for(lambda: up.node(up.second).failures > 1, what="both addresses were asked again and again")
    assert seen.failures() == []
    assert seen.slow(1) == 0
    with up.life():
        up.advances()
        wait_for(lambda: "Ajo-Stale" not in up.get("/api/v1/groups/1/").headers, what="the mark goes by itself")


def test_a_chain_that_stands_still_is_marked_stale_though_every_pass_succeeds(up: Running) -> None:
    """Breaks if `chain_advanced_at` were the time of the last good answer: a node that is cut off goes on answering."""
    with up.reading() as seen:
        wait_for(lambda: seen.stale, 20, "answers marked stale")
    assert seen.failures() == []


def test_events_that_are_delivered_twice_count_once(up: Running) -> None:
    """Breaks without the dictionary by id in `event_rows.decode_events`: PostgreSQL refuses to update a row twice in
    one statement, in every pass. The tables are compared while the node goes on doubling.
    """
    doubled = [Twice(), Twice()]
    with up.first.failing(doubled[0]), up.second.failing(doubled[1]):
        with up.life(), up.reading() as seen:
            wait_for(lambda: doubled[0].repeated > 10, what="events delivered twice")
            up.advances()
        up.settle()
    assert seen.failures() == []
    assert up.node(up.first).failures == 0
