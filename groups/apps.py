from django.apps import AppConfig
from django.db.models.signals import pre_migrate

from groups.repair import repair


class GroupsConfig(AppConfig):
    name = "groups"
    verbose_name = "Groups (state)"

    def ready(self) -> None:
        pre_migrate.connect(repair, sender=self)
