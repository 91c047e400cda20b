from __future__ import annotations

import sys
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import Progress

from ajo.indexer.follow import Pass, run_pass
from ajo.indexer.lease import Superseded
from ajo.indexer.longest_retention import fill_gaps_from_other_nodes
from ajo.soroban.models import Checkpoint
from ajo.soroban.rpc.errors import ChainError

SUPERSEDED_WAIT = 0.5  # seconds before the next attempt while another runner has the lease


class Command(BaseCommand):
    help = "Follow the contract's events until the tables are caught up with the chain, then exit 0."

    def handle(self, *args: Any, **options: Any) -> None:
        begin = Checkpoint.objects.values_list("ledger", flat=True).order_by("id").first() or 0
        with Progress(console=Console(file=sys.stderr), disable=not sys.stderr.isatty()) as progress:
            task = progress.add_task("ledgers", total=None)
            while not (done := self._pass()).caught_up:
                newest = Checkpoint.objects.values_list("chain_ledger", flat=True).first() or 0
                progress.update(task, total=max(newest - begin, 1), completed=done.ledger - begin)
                if progress.disable:
                    self.stdout.write(f"sync: at ledger {done.ledger} of {newest}")
            try:
                fill_gaps_from_other_nodes()
            except (
                ChainError,
                Superseded,
            ) as failure:  # the worker tries again
                self.stderr.write(f"sync: gaps in history stay as they are: {failure}")
        self.stdout.write(f"sync: caught up at ledger {done.ledger}")

    def _pass(self) -> Pass:
        """Run one pass, or wait where another runner does. Raises CommandError with the chain's trouble."""
        try:
            return run_pass()
        except Superseded:
            # the worker does the same job, and releases its lease after each pass
            time.sleep(SUPERSEDED_WAIT)
            return Pass(caught_up=False, ledger=Checkpoint.objects.values_list("ledger", flat=True).first() or 0)
        except ChainError as failure:
            raise CommandError(str(failure)) from failure
