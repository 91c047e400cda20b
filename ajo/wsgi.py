"""The WSGI entry point that granian serves: the edge around Django."""

import os
from importlib import import_module

import django
from django.conf import settings

from ajo.api.wsgi import Handler
from ajo.celery import app as celery_app
from ajo.conf.checks import refuse_bad_settings
from ajo.database.limits import WEB, sessions

__all__ = ["application", "celery_app"]  # with the Celery application loaded, the admin can send tasks

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ajo.settings")
django.setup(set_prefix=False)
edge = import_module("ajo.edge")  # it cannot be imported before
sessions.limit(WEB)
application = edge.Edge(edge.RequestBodies(Handler()))
if settings.ACCESS_LOG:
    application = import_module("ajo.ops.access_log").AccessLog(application)
refuse_bad_settings()
