"""Runs of the sync and of jobs, and the leases that keep two of one kind from running at a time."""

from __future__ import annotations

from typing import ClassVar, Self

from django.db import models
from django.db.models.functions import Now


class SyncRunQuerySet(models.QuerySet["SyncRun"]):
    def ended(self) -> Self:
        """Return the runs that have ended, newest first."""
        return self.exclude(outcome=SyncRun.Outcome.RUNNING).order_by("-id")


class SyncRun(models.Model):
    """One pass of the sync, or one job: what it read, wrote and found, and how it ended."""

    class Kind(models.TextChoices):
        SYNC = "sync"
        SWEEP = "sweep"
        DEEP_SWEEP = "deep"
        REBUILD = "rebuild"
        REDECODE = "redecode"

    class Outcome(models.TextChoices):
        RUNNING = "running"
        OK = "ok"
        SUPERSEDED = "superseded", "another pass was first"
        FAILED = "failed"

    kind = models.CharField(max_length=8, choices=Kind.choices)
    started_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=12, choices=Outcome.choices, default=Outcome.RUNNING)
    reason = models.TextField(blank=True, default="", help_text="Why it failed, in words.")
    ledger = models.BigIntegerField(null=True, help_text="The ledger up to which it went.")
    counts = models.JSONField(default=dict, help_text="RPC calls, events, groups read and written, drift.")

    objects = SyncRunQuerySet.as_manager()

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["kind", "-id"], name="soroban_run_kind"),
            models.Index(fields=["outcome", "-id"], name="soroban_run_outcome"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}: {self.outcome}"


class Lease(models.Model):
    """The holder of a job that only one process may run at a time, and until when, by the database's clock."""

    name = models.CharField(primary_key=True, max_length=16)
    holder = models.CharField(max_length=32, blank=True, default="")
    until = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return self.name
