"""The guide for app developers: docs/api/*.md as pages below /api/v1/docs/, each heading with an anchor of its own."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final

from django.conf import settings
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.token import Token
from rest_framework.request import Request
from rest_framework.views import APIView

from ajo.api.rendering import JSONRenderer
from ajo.api.throttles import ReadThrottle

FOLDER: Final = settings.BASE_DIR / "docs" / "api"
PAGES: Final = {  # in the order of the menu
    "guide": "Guide",
    "quick-start": "Quick start",
    "writing": "Writing with a wallet",
    "own-write": "Your own write",
    "polling": "Polling",
    "amounts": "Amounts",
    "errors": "Errors",
    "limits": "Limits",
    "events": "Events",
    "verification": "Verification",
    "sandbox": "Sandbox",
}
PUBLIC_ADDRESS: Final = "http://127.0.0.1:8000"  # as `make run` serves it: the pages are about this very service


class GuideView(APIView):
    """One page of the guide, as HTML whatever is accepted; `guide` is its first."""

    throttle_classes = (ReadThrottle,)
    schema = None

    def get(self, request: Request, page: str) -> HttpResponse:
        title, body = rendered(page)
        return render(request._request, "api/guide.html", {"title": title, "body": body, "pages": PAGES.items()})

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        return JSONRenderer(), "application/json"  # what errors are written with


@lru_cache(maxsize=32)
def rendered(page: str) -> tuple[str, SafeString]:
    """Return title and HTML of a page, made once: pages do not change while a process runs. Raise Http404."""
    if page not in PAGES:
        raise Http404
    text = (FOLDER / f"{page}.md").read_text().replace(PUBLIC_ADDRESS, settings.PUBLIC_URL)
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(text)
    for token, inner in pairwise(tokens):
        if token.type == "heading_open":
            token.attrSet("id", anchor(inner.content))
        for each in token.children or ():
            _link_page(each)
    title = next(inner.content for token, inner in pairwise(tokens) if token.tag == "h1")
    # markdown-it escapes the text, and the text is ours
    return escape(title), mark_safe(parser.renderer.render(tokens, parser.options, {}))  # noqa: S308


def anchor(heading: str) -> str:
    """Return a heading's anchor, as GitHub makes them: lower case, spaces become hyphens, other marks go."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _link_page(token: Token) -> None:
    """Turn a link to a neighbouring file (`polling.md#loss`) into one to its page."""
    href = str(token.attrGet("href") or "")
    if found := re.fullmatch(r"([a-z-]+)\.md(#[\w-]+)?", href):
        token.attrSet("href", f"../{found[1]}/{found[2] or ''}")
