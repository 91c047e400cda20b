from __future__ import annotations

from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection, transaction

from ajo import cache
from groups.models import WalletLabel

KEPT_MODELS = {WalletLabel}  # staff's own words


class Command(BaseCommand):
    help = "Empty every table that was filled from the chain, so that the next sync starts afresh. Wallet labels stay."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--yes", action="store_true", help="do it; without this nothing is changed")

    def handle(self, *args: Any, **options: Any) -> None:
        models = [m for app in ("soroban", "groups", "contributions") for m in apps.get_app_config(app).get_models()]
        tables = [connection.ops.quote_name(model._meta.db_table) for model in models if model not in KEPT_MODELS]
        if not options["yes"]:
            raise CommandError(f"This empties {', '.join(tables)}. Run it again with --yes.")
        if not cache.invalidate_all():
            raise CommandError("Redis does not answer, and would go on showing what it holds. Nothing was changed.")
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"TRUNCATE {', '.join(tables)} RESTART IDENTITY")
        cache.invalidate_all()
        self.stdout.write("reset_chain: the tables are empty; the next sync fills them from the configured chain")
