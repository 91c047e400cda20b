"""Between the edge and Django: read request bodies, which arrive as slowly as a client likes, and join answers.

granian reads a body on the thread that asks for it, and sends an answer of several parts on the thread that made them:
a slow client would hold either. So a body is read only where a route takes one, whole, by few threads at a time, and an
answer is joined first, save downloads of any length, of which few are sent at a time (ajo/api/downloads.py).
ajo/webserver/connections.py ends a body that does not arrive.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from io import BytesIO
from typing import Any, Final

from django.conf import settings
from django.http.response import HttpResponseBase

from ajo.api.downloads import Download
from ajo.api.middleware import FIXED, PREFIX
from ajo.api.problems import CONTENT_TYPE, problem
from ajo.api.throttles import address_of_client
from ajo.edge.responses import StartResponse

Handler = Callable[[dict[str, Any], StartResponse], HttpResponseBase]

BODY_PATHS: Final = ("/admin/", "/api/v1/transactions/")  # paths that begin so; no other route reads a body
RETRY_AFTER: Final = "2"  # seconds
# Seconds for which a reading counts as one that is about to end: a body that came with its header takes milliseconds.
SOON: Final = 0.25
MAX_QUEUED = 2.0  # seconds that a thread waits for places of readings that are about to end


class RequestBodies:
    """The WSGI application around Django that hands it whole bodies, and refuses those that it may not have."""

    def __init__(self, django: Handler) -> None:
        self._django = django
        self._changed = threading.Condition()
        self._reading: dict[str, float] = {}  # the clients whose bodies are being read, since when (time.monotonic)

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        refusal = self._take_body(environ)
        if refusal:
            status, text = refusal
            headers = [("Content-Type", "text/plain")]
            if environ["PATH_INFO"].startswith(PREFIX):
                text = problem(int(status[:3]), text.decode().strip()).content
                headers = [("Content-Type", CONTENT_TYPE), *FIXED.items()]
            headers += [("Content-Length", str(len(text))), ("Connection", "close")]
            start_response(status, [*headers, *[("Retry-After", RETRY_AFTER)] * status.startswith("503")])
            return [text]
        response = self._django(environ, start_response)
        if isinstance(response, Download):
            return _parts(response)
        with closing(response):
            return [b"".join(response)]

    def _take_body(self, environ: dict[str, Any]) -> tuple[str, bytes] | None:
        """Put the whole body into the environment, an empty one where no route takes any.

        Return status and text where it is refused, else None.
        """
        stream, environ["wsgi.input"] = environ["wsgi.input"], BytesIO()
        if environ["REQUEST_METHOD"] in ("GET", "HEAD", "OPTIONS") or not environ["PATH_INFO"].startswith(BODY_PATHS):
            return None
        length = environ.get("CONTENT_LENGTH", "") or "0"
        max_bytes = settings.DATA_UPLOAD_MAX_MEMORY_SIZE or 0
        if "HTTP_TRANSFER_ENCODING" in environ or not (length.isascii() and length.isdecimal()):
            return "411 Length Required", b"A body needs a Content-Length.\n"
        if len(length) > 10 or int(length) > max_bytes:
            return "413 Content Too Large", b"The body is larger than %d bytes.\n" % max_bytes
        if not int(length):
            return None
        with self._slot(address_of_client(environ)) as has_slot:
            if not has_slot:
                return "503 Service Unavailable", b"Too many bodies are being sent. Try again.\n"
            body = stream.read(int(length))
        if len(body) < int(length):
            return "408 Request Timeout", b"The body did not arrive.\n"
        environ["wsgi.input"] = BytesIO(body)
        return None

    @contextmanager
    def _slot(self, client: str) -> Iterator[bool]:
        """Yield whether this thread may read a body: at most half of the threads do, each for another client.

        It waits for readings that are about to end, and for none that a slow client draws out.
        """
        is_mine = self._take_place(client)
        try:
            yield is_mine
        finally:
            if is_mine:
                with self._changed:
                    del self._reading[client]
                    self._changed.notify_all()

    def _take_place(self, client: str) -> bool:
        places, deadline = max(1, settings.WEB_THREADS // 2), time.monotonic() + MAX_QUEUED
        with self._changed:
            while client in self._reading or len(self._reading) >= places:
                since = self._reading.get(client, max(self._reading.values()))
                left = min(since + SOON, deadline) - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(left)
            self._reading[client] = time.monotonic()
            return True


def _parts(response: Download) -> Iterator[bytes]:
    """Yield the parts as they are made, and close the response at their end, or when the client is gone."""
    with closing(response):
        yield from response
