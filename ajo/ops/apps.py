from django.apps import AppConfig


class OpsConfig(AppConfig):
    name = "ajo.ops"
    verbose_name = "Operations"
