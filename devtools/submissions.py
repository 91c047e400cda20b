"""Submits many transactions in real processes while there is trouble, and judges their ends by the chain.

    python -m devtools.submissions --count 10000 --seed 1

It starts servers of its own, as `make test-faults` does at 500, and prints a report. It ends with 1 if an end was
wrong.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
import threading
from pathlib import Path

import django

from tests.support.services import SETTINGS


def main() -> int:
    """Run once and print the report; return 1 where anything was wrong."""
    parser = argparse.ArgumentParser(prog="python -m devtools.submissions", description=__doc__)
    parser.add_argument("--count", type=int, default=500, help="transactions that are submitted")
    parser.add_argument("--seed", type=int, default=1, help="draws wishes and troubles")
    parser.add_argument("--home", type=Path, help="folder of the servers' data and logs (default: a temporary one)")
    options = parser.parse_args()
    os.environ |= SETTINGS | {
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "REDIS_URL": "redis://127.0.0.1:1/0",
    }
    django.setup()
    logging.disable(logging.WARNING)
    # they need Django's settings, which are made from the variables above
    from tests.support.running import running
    from tests.support.submission_run import EVENTS_LIMIT, progress, run_submissions

    ended = threading.Event()
    with (
        tempfile.TemporaryDirectory(prefix="ajo-submissions-") as temporary,
        running(options.home or Path(temporary), RPC_EVENTS_LIMIT=EVENTS_LIMIT) as up,
    ):
        up.start_all()
        report = run_submissions(up, options.count, options.seed, lambda people: progress(people, ended))
        ended.set()
    print(report)
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
