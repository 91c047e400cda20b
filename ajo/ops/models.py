"""Heartbeats of the background processes."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class Heartbeat(models.Model):
    """The last sign of life of a worker or beat, which writes its row every few seconds and deletes it when it ends."""

    class ManagedProcess(models.TextChoices):
        WORKER = "worker"
        BEAT = "beat"

    name = models.CharField(primary_key=True, max_length=255, help_text="Part, host and process.")
    part = models.CharField(max_length=6, choices=ManagedProcess.choices)
    seen_at = models.DateTimeField(db_default=Now(), help_text="By the database's clock.")
    tasks = models.JSONField(
        db_default=models.Value([], models.JSONField()),
        help_text='What it does, as of then: [{"name", "seconds"}]. The tasks that a worker runs, the longest first, '
        "and since when; the task that beat sent last, and how long ago.",
    )

    def __str__(self) -> str:
        return self.name
