"""The WSGI entry point that granian serves."""

import os

import django
from django.utils.module_loading import import_string

from ajo.api.wsgi import Handler
from ajo.celery import app as celery_app
from ajo.checks import refuse_bad_settings

__all__ = ["application", "celery_app"]  # with the Celery application loaded, the admin can send tasks

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ajo.settings")
django.setup(set_prefix=False)
application = import_string("ajo.edge.Edge")(Handler())  # it cannot be imported before
refuse_bad_settings()
