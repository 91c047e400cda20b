from __future__ import annotations

import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from ajo.ops.doctor import Finding, Level, diagnose


class Command(BaseCommand):
    help = (
        "Examine database, Redis, RPC nodes, sync, worker, beat, clocks and disks; a line each, and what to do. "
        "Exit code 0: all is well; 1: there are warnings; 2: something does not work."
    )
    requires_system_checks = ()  # a refused setting is what it may have to say

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        found = []
        for finding in diagnose():
            found.append(finding)
            if not options["json"]:
                self.stdout.write(str(finding))
        worst = max(finding.level for finding in found)
        if options["json"]:
            self.stdout.write(json.dumps({"status": _name(worst), "findings": [_document(each) for each in found]}))
        if worst is not Level.OK:
            sys.exit(worst)


def _name(level: Level) -> str:
    return level.name.lower()


def _document(finding: Finding) -> dict[str, str]:
    return {"part": finding.part, "level": _name(finding.level), "text": finding.text, "advice": finding.advice}
