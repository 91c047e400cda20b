"""Defines the Celery task that beat schedules for the transactions that were submitted here."""

from __future__ import annotations

import logging

from celery import shared_task
from django.db import OperationalError

from ajo.indexer.lease import Superseded
from ajo.soroban.rpc.errors import ChainError
from ajo.transactions.follow import follow

logger = logging.getLogger(__name__)


@shared_task(name="transactions.follow")
def follow_transactions() -> None:
    """Follow submitted transactions to a proven end. What one run does not come to, the next one does."""
    try:
        follow()
    except (ChainError, Superseded, OperationalError) as failure:
        logger.warning("transactions: %s", failure)
