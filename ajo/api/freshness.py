"""How fresh an answer is, and the promise of `min_ledger`: headers, ETag, 304, and waiting for the sync."""

from __future__ import annotations

import math
import time
from typing import Final

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.http import http_date, parse_etags

from ajo.api.problems import invalid
from ajo.cache import Answer, Freshness, Unavailable, etag, waiter_slot
from ajo.soroban.fields import U32_MAX
from ajo.soroban.models import Checkpoint

AHEAD = 12  # ledgers, about a minute: further ahead of the chain nobody can have seen one
LEDGER_SECONDS = 4.0  # in which no network closes more than one ledger
WAIT = 5.0  # seconds that a list waits for the sync to pass a ledger; the sync runs about that often
POLL = 0.1  # seconds between two looks at the checkpoint
LONGEST_LIST = 2_000  # characters of If-None-Match: some fifty ETags of ours; reading a list takes time
# Shared caches may keep an answer for less than a ledger, then ask again with its ETag; none may pass it on after that
# without asking, for it would show an old state as new.
CACHE_CONTROL: Final = "public, max-age=1, must-revalidate"


def parse_min_ledger(text: str) -> int:
    """A u32 in ASCII digits, at most AHEAD of the chain as last heard. Raises a 400, or Unavailable before any sync."""
    if not (text.isascii() and text.isdecimal()) or len(text) > 10 or int(text) > U32_MAX:
        raise invalid(min_ledger="A ledger number is expected.")
    wanted = int(text)
    newest = Checkpoint.objects.chain_ledger()
    if newest == 0 and wanted > 0:
        raise Unavailable("The chain has not been heard from yet.")
    if wanted > newest + AHEAD:
        raise invalid(min_ledger=f"The chain is at ledger {newest}, as last heard.")
    return wanted


def refuse_far_ahead(wanted: int) -> None:
    """Raises Unavailable where the chain cannot come to that ledger while a request waits: nobody waits in vain."""
    newest, silence = Checkpoint.objects.chain_heard()
    soonest = newest + 1 + int((silence + WAIT) / LEDGER_SECONDS)
    if wanted > soonest:
        detail = f"The chain is at ledger {newest}, as last heard."
        raise Unavailable(detail, retry_after=math.ceil((wanted - soonest) * LEDGER_SECONDS))


def tables_at_least(min_ledger: int, client: str = "") -> Freshness:
    """The tables' freshness once the sync has passed `min_ledger`. Raises Unavailable after WAIT seconds, or at once
    where that would be in vain or the client waits already.
    """
    fresh = Checkpoint.objects.freshness()
    if fresh.ledger >= min_ledger:
        return fresh
    refuse_far_ahead(min_ledger)
    deadline = time.monotonic() + WAIT
    with waiter_slot("sync", client):
        while fresh.ledger < min_ledger:
            if time.monotonic() > deadline:
                raise Unavailable(f"The tables are at ledger {fresh.ledger}.")
            time.sleep(POLL)
            fresh = Checkpoint.objects.freshness()
    return fresh


def label(response: HttpResponseBase, fresh: Freshness | Answer) -> None:
    """Say how fresh the answer is."""
    response.headers["Latest-Ledger"] = str(fresh.ledger)
    if fresh.stale:
        response.headers["Ajo-Stale"] = "true"


def conditional(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """The response with its strong ETag, or 304 with the same headers if the client has that body."""
    tag = etag(response.content)
    if ledger := response.headers.get("Latest-Ledger"):
        response.headers["Last-Modified"] = last_modified(int(ledger), "Ajo-Stale" in response.headers)
    response.headers["ETag"] = tag
    response.headers["Cache-Control"] = CACHE_CONTROL
    known, since = request.META.get("HTTP_IF_NONE_MATCH", ""), request.META.get("HTTP_IF_MODIFIED_SINCE", "")
    if not is_known(tag, known) or is_outdated(response.headers.get("Last-Modified", ""), since):
        return response
    unchanged = HttpResponse(status=304, headers=dict(response.headers))
    del unchanged.headers["Content-Type"]
    return unchanged


def last_modified(ledger: int, stale: bool) -> str:
    """A date that is another one whenever Latest-Ledger or Ajo-Stale is, and no time: it counts ledgers.

    A cache that keeps a stored answer's headers over a 304 (nginx) sends it back beside the ETag, by which we know what
    those headers say; what most clients send, the ETag alone, says nothing of them.
    """
    return http_date(2 * ledger + stale)


def is_outdated(date: str, if_modified_since: str) -> bool:
    """Whether the client has the headers of another reading than that of this date: a 304 would leave them in place.

    RFC 9110 has If-Modified-Since ignored beside If-None-Match; to send the whole answer costs bytes and hides nothing.
    """
    return bool(date and if_modified_since) and date != if_modified_since


def is_known(tag: str, if_none_match: str) -> bool:
    """Whether the client has the body of this ETag already. A list that is longer than LONGEST_LIST is passed over."""
    if tag == if_none_match:
        return True
    if len(if_none_match) > LONGEST_LIST or not (tag in if_none_match or "*" in if_none_match):
        return False
    known = parse_etags(if_none_match)
    return "*" in known or tag in (each.removeprefix("W/") for each in known)
