from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ajo.indexer.redecode import redecode
from ajo.soroban.rpc.errors import ChainError
from ajo.soroban.rpc.pool import nodes


class Command(BaseCommand):
    help = "Try again to read the entries and events that were set aside."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            read, left = redecode(nodes().run)
        except ChainError as failure:
            raise CommandError(str(failure)) from failure
        self.stdout.write(f"redecode: {read} read, {left} left")
