from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ajo.indexer.lease import Superseded
from ajo.indexer.management.progress import report_progress
from ajo.indexer.verify import sweep_groups
from ajo.indexer.verify_history import sweep_deep
from ajo.soroban.models import SyncRun
from ajo.soroban.rpc.errors import ChainError
from ajo.soroban.rpc.pool import nodes
from groups.models import Group


class Command(BaseCommand):
    help = (
        "Compare every group with the chain and heal what differs; of groups that are named prove all that is stored."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--deep", action="store_true", help="prove all that is stored of every group, and solvency: many more calls"
        )
        parser.add_argument("group", nargs="*", type=int, help="group ids; all groups if none is given")

    def handle(self, *args: Any, **options: Any) -> None:
        if any(not 0 < group_id < 2**63 for group_id in options["group"]):
            raise CommandError("A group id is a number from 1 on.")
        # what the tables have and the chain does not, the sweep removes; what neither has is a slip of the pen
        unknown = set(options["group"]) - set(
            Group.objects.filter(pk__in=options["group"]).values_list("pk", flat=True)
        )
        absent: set[int] = set()
        try:
            sweep = sweep_deep if options["deep"] else sweep_groups
            # from the start, since the worker may have stopped somewhere in the middle
            for step in report_progress(sweep(nodes().run, options["group"], from_start=True), "sweep", self.stdout):
                absent |= step.absent
                for group_id in sorted(step.absent):
                    self.stdout.write(f"sweep: group {group_id} is not on the chain")
        except (ChainError, Superseded) as failure:
            raise CommandError(str(failure)) from failure
        kind = SyncRun.Kind.DEEP_SWEEP if options["deep"] else SyncRun.Kind.SWEEP
        counts = SyncRun.objects.filter(kind=kind).latest("id").counts
        self.stdout.write("sweep: " + ", ".join(f"{name} {value}" for name, value in counts.items()))
        if unknown & absent:
            raise CommandError(f"{len(unknown & absent)} of the groups that were named are nowhere: see above.")
