from __future__ import annotations

import sys
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import Progress

from ajo.indexer.follow import Pass, run_pass
from ajo.indexer.lease import Superseded
from ajo.indexer.longer_memory import ask_longest_memory
from ajo.soroban.models import Checkpoint
from ajo.soroban.rpc.errors import ChainError

PATIENCE = 0.5  # seconds until a look whether the other runner is done


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
                ask_longest_memory()
            except (ChainError, Superseded) as failure:  # the worker asks again; all that was announced since is here
                self.stderr.write(f"sync: gaps in history stay as they are: {failure}")
        self.stdout.write(f"sync: caught up at ledger {done.ledger}")

    def _pass(self) -> Pass:
        try:
            return run_pass()
        except Superseded:
            # the worker is at it: what it does is done, and its lease ends after each pass
            time.sleep(PATIENCE)
            return Pass(caught_up=False, ledger=Checkpoint.objects.values_list("ledger", flat=True).first() or 0)
        except ChainError as failure:
            raise CommandError(str(failure)) from failure
