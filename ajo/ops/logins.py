"""Log-ins: django-axes counts failures by account and by address, and locks both. This module answers and logs.

The counts are in PostgreSQL, so the limit holds without Redis. Passwords are neither stored nor logged.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from axes.backends import AxesStandaloneBackend
from axes.helpers import get_client_parameters, get_client_username
from axes.models import AccessAttempt, AccessLog
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in, user_login_failed
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from ajo.api.throttles import client_address

log = logging.getLogger(__name__)

UNKNOWN_ADDRESS: Final = "unknown"  # client_address returns it


class LockoutBackend(AxesStandaloneBackend):  # type: ignore[misc]  # untyped
    """Refuses a locked account or address before a password is compared."""

    def authenticate(self, request: HttpRequest | None, *args: Any, **kwargs: Any) -> None:
        if request is not None:  # without one a program authenticates, not a person at the site
            super().authenticate(request, *args, **kwargs)


def lock_address(request: HttpRequest) -> str | None:
    """Return the address that a lock applies to: the client's, of IPv6 its /64; None where it is unknown."""
    address = client_address(request)
    return None if address == UNKNOWN_ADDRESS else address


def lockout_parameters(
    request: HttpRequest, credentials: Mapping[str, Any] | None = None
) -> list[str | tuple[str, ...]]:
    """Return by what failures are counted: by account and by address.

    At an address from which the account was signed in to within RUNS_KEPT_DAYS, the account's failures elsewhere do not
    count: anybody can cause them. Those of the address do.
    """
    since = timezone.now() - timedelta(days=settings.RUNS_KEPT_DAYS)
    name, address = get_client_username(request, credentials), lock_address(request)
    known = AccessLog.objects.filter(username=name, ip_address=address, attempt_time__gte=since)
    return [("username", "ip_address") if address and known.exists() else "username", "ip_address"]


def lockout_response(
    request: HttpRequest, response: HttpResponse | None, credentials: Mapping[str, Any] | None
) -> HttpResponse:
    """Return the 429 that replaces the log-in page while account or address is locked, with Retry-After."""
    name, address = get_client_username(request, credentials), lock_address(request)
    counted = get_client_parameters(name, address, "", request, credentials)
    wait = max(_unlocks_at(_failures(**owner)) for owner in counted)
    seconds = max(1, math.ceil((wait - timezone.now()).total_seconds()))
    minutes = math.ceil(seconds / 60)
    text = (
        "Too many failed log-ins for this account or from this address. "
        f"Try again in {minutes} minute{'s' * (minutes > 1)}; whoever runs the service can lift it before."
    )
    return HttpResponse(text, status=429, content_type="text/plain", headers={"Retry-After": str(seconds)})


def _failures(**owner: str | None) -> Iterable[tuple[datetime, int]]:
    """Return times and counts of the failures within AXES_COOLOFF_TIME, oldest first."""
    since = timezone.now() - settings.AXES_COOLOFF_TIME
    attempts = AccessAttempt.objects.filter(**owner, attempt_time__gte=since).order_by("attempt_time")
    return list(attempts.values_list("attempt_time", "failures_since_start"))


def _unlocks_at(attempts: Iterable[tuple[datetime, int]]) -> datetime:
    """Return when enough of these attempts have expired that the rest is below AXES_FAILURE_LIMIT."""
    left = sum(failures for _, failures in attempts)
    ends = timezone.now()
    for tried_at, failures in attempts:
        if left < settings.AXES_FAILURE_LIMIT:
            break
        left -= failures
        ends = tried_at + settings.AXES_COOLOFF_TIME
    return ends


@receiver(user_logged_in)
def log_success(request: HttpRequest, user: Any, **_: object) -> None:
    """Log the log-in, and delete access logs older than RUNS_KEPT_DAYS."""
    log.info("log-in: account %s from %s", user.get_username(), client_address(request))
    long_ago = timezone.now() - timedelta(days=settings.RUNS_KEPT_DAYS)
    AccessLog.objects.filter(attempt_time__lt=long_ago).delete()


@receiver(user_login_failed)
def log_failure(credentials: Mapping[str, Any], request: HttpRequest | None = None, **_: object) -> None:
    """Log the failure. An account that does not exist is not named: people type their password there."""
    name = str(credentials.get("username") or "")
    is_known = get_user_model().objects.filter(username=name).exists()
    refused = "refused, too many failures" if getattr(request, "axes_locked_out", False) else "failed"
    whose = f"account {name}" if is_known else "no such account"
    where = client_address(request) if request else UNKNOWN_ADDRESS
    log.warning("log-in %s: %s from %s", refused, whose, where)
