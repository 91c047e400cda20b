"""Say how fresh an answer is, and keep the promise of `min_ledger`: headers, ETag, 304, and waiting for the sync."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.http import http_date, parse_etags

from ajo.api.params import checked, parse_ledger
from ajo.api.problems import invalid
from ajo.cache import Answer, Freshness, Unavailable, etag, waiter_slot
from ajo.soroban.models import Checkpoint

MAX_AHEAD = 12  # ledgers, about a minute: nobody can have seen one that is further ahead of the chain
LEDGER_SECONDS = 4.0  # in which no network closes more than one ledger
SYNC_WAIT = 5.0  # seconds that a list waits for the sync to pass a ledger; the sync runs about that often
SYNC_POLL = 0.1  # seconds between two looks at the checkpoint
MAX_IF_NONE_MATCH = 2_000  # characters, some fifty ETags of ours: parsing a list takes time
LAST_MODIFIED: Final = "Last-Modified"
CONDITIONAL_HEADERS: Final = ("HTTP_IF_NONE_MATCH", "HTTP_IF_MODIFIED_SINCE")
# Shared caches may keep an answer for less than a ledger, then have to revalidate it: a stale one shows an old state as
# new.
CACHE_CONTROL: Final = ("Cache-Control", "public, max-age=1, must-revalidate")

Headers = list[tuple[str, str]]


def parse_min_ledger(text: str) -> int:
    """Parse a ledger that is at most MAX_AHEAD of the chain as last heard.

    Raise a 400 for any other, or Unavailable before the first sync.
    """
    wanted = checked("min_ledger", parse_ledger, text)
    newest = Checkpoint.objects.chain_ledger()
    if newest == 0 and wanted > 0:
        raise Unavailable("The chain has not been heard from yet.")
    if wanted > newest + MAX_AHEAD:
        raise invalid(min_ledger=f"The chain is at ledger {newest}, as last heard.")
    return wanted


def check_reachable(wanted: int) -> None:
    """Raise Unavailable where the chain cannot reach that ledger while a request waits: nobody waits in vain."""
    newest, silence = Checkpoint.objects.chain_heard()
    soonest = newest + 1 + int((silence + SYNC_WAIT) / LEDGER_SECONDS)
    if wanted > soonest:
        detail = f"The chain is at ledger {newest}, as last heard."
        raise Unavailable(detail, retry_after=math.ceil((wanted - soonest) * LEDGER_SECONDS))


def tables_at_least(min_ledger: int, client: str = "") -> Freshness:
    """Wait until the sync has passed `min_ledger`, and return the tables' freshness.

    Raise Unavailable after SYNC_WAIT seconds; at once where waiting would be in vain, or `client` (its address) waits
    already.
    """
    fresh = Checkpoint.objects.freshness()
    if fresh.ledger >= min_ledger:
        return fresh
    check_reachable(min_ledger)
    deadline = time.monotonic() + SYNC_WAIT
    with waiter_slot("sync", client):
        while fresh.ledger < min_ledger:
            if time.monotonic() > deadline:
                raise Unavailable(f"The tables are at ledger {fresh.ledger}.")
            time.sleep(SYNC_POLL)
            fresh = Checkpoint.objects.freshness()
    return fresh


def freshness_headers(ledger: int, stale: bool) -> Headers:
    """Return the headers that say how fresh an answer is; the edge sends the same ones as the views."""
    return [("Latest-Ledger", str(ledger)), *[("Ajo-Stale", "true")] * stale]


def validator_headers(tag: str, date: str) -> Headers:
    """Return the headers by which a client asks again for what it has: Last-Modified unless empty, ETag, lifetime."""
    return [*[(LAST_MODIFIED, date)] * bool(date), ("ETag", tag), CACHE_CONTROL]


def label(response: HttpResponseBase, fresh: Freshness | Answer) -> None:
    """Set the headers that say how fresh the answer is."""
    _set_headers(response, freshness_headers(fresh.ledger, fresh.stale))


def conditional(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """Return the response with its validators, or 304 with the same headers if the client has its body and headers."""
    tag, date = etag(response.content), ""
    if ledger := response.headers.get("Latest-Ledger"):
        date = last_modified(int(ledger), "Ajo-Stale" in response.headers)
    _set_headers(response, validator_headers(tag, date))
    if not is_not_modified(request.META, tag, date):
        return response
    unchanged = HttpResponse(status=304, headers=dict(response.headers))
    del unchanged.headers["Content-Type"]
    return unchanged


def _set_headers(response: HttpResponseBase, headers: Headers) -> None:
    for name, value in headers:
        response.headers[name] = value


@lru_cache(maxsize=64)
def last_modified(ledger: int, stale: bool) -> str:
    """Return a date that stands for Latest-Ledger and Ajo-Stale: it counts ledgers and is no time.

    A cache that keeps a stored answer's headers over a 304 (nginx) sends it back beside the ETag. It tells us what
    those headers say; the ETag alone, which most clients send, does not.
    """
    return http_date(2 * ledger + stale)


def is_not_modified(environ: Mapping[str, Any], tag: str, date: str) -> bool:
    """Return whether 304 says all there is to say: the client has the body of this ETag and the headers of this date.

    `environ` is WSGI's, which has what the client knows in CONDITIONAL_HEADERS.

    RFC 9110 has If-Modified-Since ignored beside If-None-Match. Here another date means that the client has the headers
    of another reading, which a 304 might leave in place; the whole answer costs bytes and hides nothing.
    """
    if_none_match = environ.get("HTTP_IF_NONE_MATCH")
    if not if_none_match or not _is_known(tag, if_none_match):
        return False
    if_modified_since = environ.get("HTTP_IF_MODIFIED_SINCE")
    return not (date and if_modified_since and date != if_modified_since)


def _is_known(tag: str, if_none_match: str) -> bool:
    """Return whether the client has the body of this ETag. A list longer than MAX_IF_NONE_MATCH is ignored."""
    if tag == if_none_match:
        return True
    if len(if_none_match) > MAX_IF_NONE_MATCH or not (tag in if_none_match or "*" in if_none_match):
        return False
    known = parse_etags(if_none_match)
    return "*" in known or tag in (each.removeprefix("W/") for each in known)
