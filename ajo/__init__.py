"""The project: settings, addresses, the WSGI and Celery entry points, and what runs on top of the apps."""
