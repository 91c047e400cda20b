"""The project: settings, addresses, the WSGI and Celery entry points, and what runs on top of the apps."""

__version__ = "0.9.0"
