from __future__ import annotations

from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser

from ajo.indexer.follow import replay_history
from ajo.indexer.lease import Superseded
from ajo.indexer.management.progress import report_progress
from ajo.indexer.rebuild import Rebuilt, rebuild_groups
from ajo.soroban.models import Checkpoint
from ajo.soroban.rpc.errors import ChainError
from ajo.soroban.rpc.pool import nodes


class Command(BaseCommand):
    help = "Make the tables what the chain says, from an empty or a wrong database; goes on where it was killed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="say what it would change, and change nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        dry_run = options["dry_run"]
        try:
            if not Checkpoint.objects.exists():
                if dry_run:
                    self.stdout.write("rebuild: the tables are empty; it would fill them")
                    return
                call_command("sync", stdout=self.stdout)  # an empty database is filled first
            result = self._rebuild(dry_run=dry_run)
            if not dry_run:
                nodes().run(replay_history)
                call_command("sync", stdout=self.stdout)
        except (ChainError, Superseded) as failure:
            raise CommandError(str(failure)) from failure
        verb = "would change" if dry_run else "changed"
        changes = ", ".join(f"{name} {number}" for name, number in sorted(result.counts.items()) if name != "calls")
        self.stdout.write(f"rebuild: {verb}: {changes}")

    def _rebuild(self, *, dry_run: bool) -> Rebuilt:
        """Rebuild all groups, reporting progress, and return what changed."""
        if (begun := Checkpoint.objects.get().rebuilt_to) and not dry_run:
            self.stdout.write(f"rebuild: goes on after group {begun}, where the last one ended before its time")
        *_, result = report_progress(rebuild_groups(nodes().run, dry_run=dry_run), "rebuild", self.stdout)
        return result
