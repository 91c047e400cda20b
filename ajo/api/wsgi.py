"""Django's WSGI handler, which answers requests with unreadable headers without a 500."""

from __future__ import annotations

from typing import Any

from django.core.handlers.wsgi import WSGIHandler, WSGIRequest


class TolerantRequest(WSGIRequest):
    """A request whose unreadable Content-Type counts as none: a view that reads a body says 415, all others go on."""

    def _set_content_type_params(self, meta: dict[str, Any]) -> None:
        try:
            super()._set_content_type_params(meta)  # type: ignore[misc]  # not in the stubs
        except (ValueError, LookupError):
            self.content_type, self.content_params = "", {}


class Handler(WSGIHandler):
    """Django's handler with TolerantRequest."""

    request_class = TolerantRequest
