"""The project's Django apps: its checks, and the admin with our own site."""

import logging

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig
from django.core.checks import register
from django.db.models.signals import post_migrate
from django.utils.module_loading import import_string

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

    def ready(self) -> None:
        super().ready()
        # by their names: their modules need models, which are loaded by now and were not above
        import_string("ajo.console.accounts.register_accounts")()
        post_migrate.connect(import_string("ajo.console.roles.keep_roles"), dispatch_uid="roles")
