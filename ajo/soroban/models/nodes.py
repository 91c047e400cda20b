"""The health of the RPC nodes."""

from __future__ import annotations

from datetime import timedelta
from typing import Self

from django.db import models
from django.db.models.functions import Now

MAX_BACKOFF = timedelta(minutes=5)  # an RPC node that goes on failing is asked again after this time at the latest


class RpcNodeQuerySet(models.QuerySet["RpcNode"]):
    def backing_off(self) -> Self:
        """Return the nodes that are in backoff.

        An end further ahead than MAX_BACKOFF was set by a clock that has stepped back, and does not count.
        """
        return self.filter(left_until__gt=Now(), left_until__lte=Now() + MAX_BACKOFF)


class RpcNode(models.Model):
    """The health of one RPC address. The name holds neither path nor credentials."""

    name = models.CharField(primary_key=True, max_length=300)
    failures = models.BigIntegerField(default=0, help_text="In a row.")
    left_until = models.DateTimeField(null=True, help_text="Left alone until then, unless every address is.")
    last_error = models.TextField(blank=True, default="")
    failed_at = models.DateTimeField(null=True)
    answered_at = models.DateTimeField(null=True)
    protocol_version = models.BigIntegerField(null=True, help_text="Of the network, as the node said within the hour.")

    objects = RpcNodeQuerySet.as_manager()

    def __str__(self) -> str:
        return self.name
