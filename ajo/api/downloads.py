"""Answers of any length, sent piece by piece: the edge joins every other answer first (ajo/edge/request_bodies.py).

A client that reads slowly holds the thread that makes its answer, so few are made at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

from django.conf import settings
from django.http import StreamingHttpResponse

from ajo.cache import Unavailable

RETRY_AFTER = 5  # seconds
CHUNK_SIZE = 32_768  # bytes
_lock = threading.Lock()
_served: set[str] = set()  # the addresses of the clients that are being sent one


class Download(StreamingHttpResponse):
    """An answer that is made while it is sent, without an ETag. Raise Unavailable where too many are being sent.

    Each client gets one at a time, and half of a process's threads are left for other requests. `close` makes room.
    """

    def __init__(self, parts: Iterator[bytes], content_type: str, client: str) -> None:
        with _lock:
            if client in _served or len(_served) >= max(1, settings.WEB_THREADS // 2):
                raise Unavailable("Too many statements are being sent.", retry_after=RETRY_AFTER)
            _served.add(client)
        self._client: str | None = client
        super().__init__(parts, content_type=content_type, headers={"Cache-Control": "no-store"})

    def close(self) -> None:
        with _lock:
            if self._client is not None:
                _served.discard(self._client)
            self._client = None
        super().close()


def in_chunks(parts: Iterator[bytes], broken_off: bytes = b"") -> Iterator[bytes]:
    """Join small parts to chunks of CHUNK_SIZE bytes and more.

    Where making them fails after the first chunk, what is there is yielded, then `broken_off`, then the failure raised:
    the web server ends an answer that failed as it ends a whole one, and half a CSV looks like a whole one.
    """
    chunk: list[bytes] = []
    size, has_begun = 0, False
    try:
        for part in parts:
            chunk.append(part)
            size += len(part)
            if size >= CHUNK_SIZE:
                has_begun = True
                yield b"".join(chunk)
                chunk, size = [], 0
    except Exception:
        if has_begun:
            yield b"".join([*chunk, broken_off])
        raise
    if chunk:
        yield b"".join(chunk)
