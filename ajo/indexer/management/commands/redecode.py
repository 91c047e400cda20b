from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ajo.indexer.lease import Superseded
from ajo.indexer.redecode import redecode
from ajo.soroban.rpc.errors import ChainError
from ajo.soroban.rpc.pool import nodes


class Command(BaseCommand):
    help = "Decode again the entries and events that could not be decoded."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            read, left = redecode(nodes().run)
        except (ChainError, Superseded) as failure:
            raise CommandError(str(failure)) from failure
        self.stdout.write(f"redecode: {read} read, {left} left")
