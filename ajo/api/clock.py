"""The time by which rounds end: the chain's, which may be ahead of this host's clock."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone

from ajo.soroban.models import Checkpoint


def chain_now() -> datetime:
    """Return the present time: this host's, or the newest ledger's close time where that is later.

    The contract goes by close times. They are later where this host's clock is behind, and on a sandbox whose clock
    was moved.
    """
    now = timezone.now()
    closed_at = Checkpoint.objects.order_by("id").values_list("chain_closed_at", flat=True).first()
    return now if closed_at is None else max(now, closed_at)
