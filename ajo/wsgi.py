"""The WSGI entry point that granian serves."""

import os

from django.core.wsgi import get_wsgi_application

from ajo.celery import app as celery_app
from ajo.checks import refuse_bad_settings

__all__ = ["application", "celery_app"]  # with the Celery application loaded, the admin can send tasks

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ajo.settings")
application = get_wsgi_application()
refuse_bad_settings()
