from django.apps import AppConfig
from django.core.checks import register

from ajo.checks import check_settings


class ProjectConfig(AppConfig):
    name = "ajo"

    def ready(self) -> None:
        register(check_settings, "ajo")
