"""`manage.py doctor`: examines everything that the service needs, and says what to do.

It works while nothing else does: every wait is bounded, and what cannot be asked is a finding, not an exception.
"""

from __future__ import annotations

from collections.abc import Iterator

from ajo.ops.doctor.chain import ask_nodes, node_findings, sync_findings_or_none
from ajo.ops.doctor.database import database_findings
from ajo.ops.doctor.finding import Finding, Level
from ajo.ops.doctor.machine import clock_findings, disk_findings, process_findings, settings_findings
from ajo.ops.doctor.redis_server import redis_findings

__all__ = ["Finding", "Level", "diagnose"]


def diagnose() -> Iterator[Finding]:
    """Yield the findings as they come. A part whose own setting is refused is not asked."""
    found = list(settings_findings())
    yield from found
    refused = {finding.text.partition(":")[0] for finding in found if finding.level is Level.ERROR}
    has_database = False
    if "DATABASE_URL" not in refused:
        answers = list(database_findings())
        yield from answers
        has_database = answers[0].level is Level.OK
    if not refused & {"REDIS_URL", "CELERY_BROKER_URL"}:
        yield from redis_findings()
    nodes = [] if refused & {"SOROBAN_RPC_URL", "SOROBAN_RPC_HEADERS", "AJO_CONTRACT_ID"} else ask_nodes()
    yield from node_findings(nodes)
    if has_database:
        yield from sync_findings_or_none(nodes)
        yield from process_findings()
    yield from clock_findings(nodes, with_database=has_database)
    yield from disk_findings()
