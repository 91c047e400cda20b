"""Allows one runner of a job at a time, by a lease row and the database's clock.

A session lock would not do: a pooler in transaction mode hands the session to others. Neither would a transaction's
lock: a pass waits for the RPC between its transactions. The lease keeps two passes from doing the same work; the
cursor's compare-and-set keeps either from spoiling the other's (docs/decisions/0005-lease-and-compare-and-set.md).
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

from ajo.soroban.models import Checkpoint, Lease

# Longer than one attempt of an RPC call, before which a lease is renewed, and a write; short enough that the work of a
# runner that was killed goes on soon.
LEASE_LIFETIME = timedelta(seconds=max(30, (settings.RPC_RETRIES + 1) * settings.RPC_TIMEOUT + 15))
LEASE_POLL = 0.1  # seconds between two attempts to take a lease that another runner holds
LEASE_PATIENCE = 60.0  # seconds that a command waits for a lease: longer than a killed runner's lease lasts
RENEW_AFTER = 2.0  # seconds; a sweep has hundreds of steps in that time


class Superseded(Exception):
    """Another runner has the lease, or has moved the cursor first. Nothing was written."""


class LeaseHandle:
    """Represents a lease, which is held until it is released or not renewed in time."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._holder = secrets.token_hex(8)
        self._renewed = float("-inf")

    def renew(self) -> None:
        """Extend the lease by LEASE_LIFETIME. Does nothing if that was done less than RENEW_AFTER seconds ago.

        Raises Superseded if another runner took the lease meanwhile, even if it has released it since: what this runner
        has read is out of date.
        """
        if time.monotonic() - self._renewed >= RENEW_AFTER:
            self._hold(Q(holder=self._holder))

    def take(self) -> None:
        """Take the lease. Raises Superseded if another runner holds it."""
        # An end that is much further away than a lease's lifetime was set by a clock that has stepped back since.
        self._hold(Q(until__lt=Now()) | Q(until__gt=Now() + 2 * LEASE_LIFETIME))

    def _hold(self, where: Q) -> None:
        now = time.monotonic()
        if not Lease.objects.filter(where, name=self._name).update(holder=self._holder, until=Now() + LEASE_LIFETIME):
            raise Superseded(f"another {self._name} is running")
        self._renewed = now

    def release(self) -> None:
        """Give the lease up. Does nothing if another runner holds it."""
        Lease.objects.filter(name=self._name, holder=self._holder).update(until=Now() - LEASE_LIFETIME)


@contextmanager
def lease(name: str, patience: float = 0) -> Iterator[LeaseHandle]:
    """Hold the lease `name` for the block. Raises Superseded if another runner holds it `patience` seconds from now."""
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
            time.sleep(LEASE_POLL)
    try:
        yield handle
    finally:
        handle.release()


def advance_cursor(checkpoint: Checkpoint, **values: object) -> None:
    """Write these columns if the cursor is where it was. Raises Superseded if it has moved, or the sync has halted."""
    if not Checkpoint.objects.advance(checkpoint, **values):
        raise Superseded("another pass was first")
