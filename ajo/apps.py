"""The project's Django apps: its checks, and the admin with our own site."""

import logging

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig
from django.core.checks import register

from ajo.conf.checks import check_settings


class ProjectConfig(AppConfig):
    """Registers the checks of the settings."""

    name = "ajo"

    def ready(self) -> None:
        register(check_settings, "ajo")
        logging.captureWarnings(True)  # they are lines of the log like others


class StaffConfig(AdminConfig):
    """django.contrib.admin with our own site as the default, with which every model registers."""

    default_site = "ajo.console.site.StaffSite"
