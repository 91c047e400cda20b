"""Imported before Django's models by programs that start themselves."""

import django

django.setup()
