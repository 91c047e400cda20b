"""The header that names a request: edge and Django answer with it, and every log line of the request carries it."""

from __future__ import annotations

import re
from typing import Final

REQUEST_ID: Final = "X-Request-ID"
_FORM: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


def is_request_id(text: str) -> bool:
    """Return whether an id from a client or its proxy has the form of one; others could forge log lines."""
    return _FORM.fullmatch(text) is not None
