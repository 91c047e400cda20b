from importlib import import_module

from django.apps import AppConfig


class OpsConfig(AppConfig):
    name = "ajo.ops"
    verbose_name = "Operations"

    def ready(self) -> None:
        import_module("ajo.ops.logins")  # connects its receivers; its models are loaded by now
