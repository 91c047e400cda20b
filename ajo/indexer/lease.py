"""One runner at a time: a lease row by the database's clock.

Not a lock of the session (a pooler in transaction mode hands the session to others) nor of a transaction (a pass waits
for the RPC in between). It keeps two passes from doing the same work; that neither spoils the other's is the cursor's
compare-and-set.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.conf import settings
from django.db.models import Q
from django.db.models.functions import Now

from ajo.soroban.models import Lease

# Longer than one attempt of an RPC call, before which it is renewed, and a write; short enough that the work of a
# runner that was killed goes on soon.
LASTS = timedelta(seconds=max(30, settings.RPC_TIMEOUT + 15))
POLL = 0.1  # seconds between two looks at a lease that another holds
RENEW_AFTER = 2.0  # seconds; a sweep takes hundreds of steps that short


class Superseded(Exception):
    """Another runner is at it, or was first. Nothing was written."""


class LeaseHandle:
    """A lease that this runner holds until it leaves the block or does not renew in time."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._holder = secrets.token_hex(8)
        self._renewed = float("-inf")

    def renew(self) -> None:
        """Hold on for another `LASTS`, if this was not just done. Raises Superseded if another took over meanwhile,
        be it that it is done by now: what this runner has read is from before.
        """
        if time.monotonic() - self._renewed >= RENEW_AFTER:
            self._hold(Q(holder=self._holder))

    def take(self) -> None:
        """Raises Superseded if another has it."""
        # An end that is much further away than a lease lasts was set by a clock that has stepped back since.
        self._hold(Q(until__lt=Now()) | Q(until__gt=Now() + 2 * LASTS))

    def _hold(self, where: Q) -> None:
        now = time.monotonic()
        if not Lease.objects.filter(where, name=self._name).update(holder=self._holder, until=Now() + LASTS):
            raise Superseded(f"another {self._name} is running")
        self._renewed = now

    def release(self) -> None:
        Lease.objects.filter(name=self._name, holder=self._holder).update(until=Now() - LASTS)


@contextmanager
def lease(name: str, patience: float = 0) -> Iterator[LeaseHandle]:
    """Hold the lease `name` for the block. Raises Superseded if another runner holds it for `patience` seconds more."""
    Lease.objects.bulk_create([Lease(name=name)], ignore_conflicts=True)
    handle = LeaseHandle(name)
    deadline = time.monotonic() + patience
    while True:
        try:
            handle.take()
            break
        except Superseded:
            if time.monotonic() >= deadline:
                raise
            time.sleep(POLL)
    try:
        yield handle
    finally:
        handle.release()
