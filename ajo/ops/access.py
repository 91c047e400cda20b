"""Access to what is for operators alone: requests from this machine, or with METRICS_TOKEN."""

from __future__ import annotations

import hmac
import ipaddress

from django.conf import settings
from django.http import HttpRequest

PROXY_HEADERS = ("HTTP_FORWARDED", "HTTP_VIA", "HTTP_X_REAL_IP", "HTTP_X_FORWARDED_")  # prefixes of META names


def has_token(request: HttpRequest) -> bool:
    """Return whether the request carries METRICS_TOKEN as its bearer token, compared in constant time.

    An empty METRICS_TOKEN is equal to an empty bearer token: callers check that one is set.
    """
    authorization = request.headers.get("Authorization", "")
    return hmac.compare_digest(authorization.encode(), f"Bearer {settings.METRICS_TOKEN}".encode())


def is_local(request: HttpRequest) -> bool:
    """Return whether the client is on loopback and no proxy: a proxy on this machine is on loopback, too."""
    try:
        client = ipaddress.ip_address(request.META.get("REMOTE_ADDR", ""))
    except ValueError:
        return False
    return client.is_loopback and not any(name.startswith(PROXY_HEADERS) for name in request.META)
