"""Believe forwarding headers of TRUSTED_PROXIES alone, before the edge and Django look at them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.conf import settings

from ajo.api.throttles import is_trusted_proxy

PROTO: Final = "HTTP_X_FORWARDED_PROTO"


def settle_scheme(environ: dict[str, Any]) -> None:
    """Leave in X-Forwarded-Proto what the nearest trusted proxy says, and nothing that anybody else does.

    The header stays, empty: that a request was forwarded is not to be hidden (/metrics asks for it). Of several values
    the last is the nearest proxy's own; the others it passed on.
    """
    if settings.TRUSTED_PROXIES and (forwarded := environ.get(PROTO)):
        environ[PROTO] = forwarded.rpartition(",")[2].strip() if _is_forwarded(environ) else ""


def _is_forwarded(environ: Mapping[str, Any]) -> bool:
    return is_trusted_proxy(environ.get("REMOTE_ADDR", ""), tuple(settings.TRUSTED_PROXIES))
