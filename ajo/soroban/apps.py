from django.apps import AppConfig


class SorobanConfig(AppConfig):
    name = "ajo.soroban"
    verbose_name = "Chain"
