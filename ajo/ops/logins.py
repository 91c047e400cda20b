"""Log-ins: django-axes counts failures in PostgreSQL by account and by address, and this says so in words.

Redis may be away and the limit holds. What is typed as a password is neither stored nor logged.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from axes.backends import AxesStandaloneBackend
from axes.models import AccessAttempt, AccessLog
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in, user_login_failed
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from ajo.api.throttles import client_address

log = logging.getLogger(__name__)

UNKNOWN: Final = "unknown"  # as client_address says it


class LockoutBackend(AxesStandaloneBackend):  # type: ignore[misc]  # untyped
    """Refuses an account or address that is locked, before any password is compared."""

    def authenticate(self, request: HttpRequest | None, *args: Any, **kwargs: Any) -> None:
        if request is not None:  # else a program asks, not a person at the site
            super().authenticate(request, *args, **kwargs)


def address_of(request: HttpRequest) -> str | None:
    """What a lock by address goes by: the client's address, of IPv6 its /64; None where it is not known."""
    address = client_address(request)
    return None if address == UNKNOWN else address


def locked(request: HttpRequest, response: HttpResponse | None, credentials: Mapping[str, Any] | None) -> HttpResponse:
    """What is answered instead of the log-in page while account or address is locked."""
    name = (credentials or {}).get("username")
    wait = max((_ends(_recent(username=name)), _ends(_recent(ip_address=address_of(request)))), default=timezone.now())
    seconds = max(1, math.ceil((wait - timezone.now()).total_seconds()))
    minutes = math.ceil(seconds / 60)
    text = (
        "Too many failed log-ins for this account or from this address. "
        f"Try again in {minutes} minute{'s' * (minutes > 1)}; whoever runs the service can lift it before."
    )
    return HttpResponse(text, status=429, content_type="text/plain", headers={"Retry-After": str(seconds)})


def _recent(**whose: str | None) -> Iterable[tuple[datetime, int]]:
    since = timezone.now() - settings.AXES_COOLOFF_TIME
    attempts = AccessAttempt.objects.filter(**whose, attempt_time__gte=since).order_by("attempt_time")
    return list(attempts.values_list("attempt_time", "failures_since_start"))


def _ends(attempts: Iterable[tuple[datetime, int]]) -> datetime:
    """When so many of these are forgotten that the rest is below the limit."""
    left = sum(failures for _, failures in attempts)
    ends = timezone.now()
    for tried_at, failures in attempts:
        if left < settings.AXES_FAILURE_LIMIT:
            break
        left -= failures
        ends = tried_at + settings.AXES_COOLOFF_TIME
    return ends


@receiver(user_logged_in)
def note_success(request: HttpRequest, user: Any, **_: object) -> None:
    log.info("log-in: account %s from %s", user.get_username(), client_address(request))
    long_ago = timezone.now() - timedelta(days=settings.RUNS_KEPT_DAYS)
    AccessLog.objects.filter(attempt_time__lt=long_ago).delete()


@receiver(user_login_failed)
def note_failure(credentials: Mapping[str, Any], request: HttpRequest | None = None, **_: object) -> None:
    """An account that does not exist is not named: people type their password there."""
    name = str(credentials.get("username") or "")
    is_known = get_user_model().objects.filter(username=name).exists()
    refused = "refused, too many failures" if getattr(request, "axes_locked_out", False) else "failed"
    whose, where = f"account {name}" if is_known else "no such account", client_address(request) if request else UNKNOWN
    log.warning("log-in %s: %s from %s", refused, whose, where)
