"""The Celery application and its schedule: sync follows the events, sweep compares everything.

Limits and acknowledgement are in ajo/settings.py (CELERY_…), the clock behind the schedule in ajo/beat.py.
"""

import os
from typing import Any

from celery import Celery
from celery.signals import beat_init, setup_logging, worker_init
from django.conf import settings

from ajo.checks import refuse_bad_settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ajo.settings")

app = Celery("ajo")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


def every(task: str, seconds: int) -> dict[str, Any]:
    """A run that waited a whole interval in the queue is stale: it expires, for the next one is there already."""
    return {"task": task, "schedule": seconds, "options": {"expires": seconds}}


app.conf.beat_schedule = {
    "sync": every("contributions.tasks.sync", settings.SYNC_INTERVAL),
    "sweep": every("contributions.tasks.sweep", settings.SWEEP_INTERVAL),
}


@worker_init.connect
@beat_init.connect
def check(**_: object) -> None:
    """Celery runs no system checks that stop it."""
    refuse_bad_settings()


@setup_logging.connect
def keep_logging(**_: object) -> None:
    """Celery replaces the loggers unless somebody answers this signal; settings.LOGGING stays as it is."""
