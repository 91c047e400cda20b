"""The command `python -m devtools.benchmarks [MEASURE…]`, on SCALE (1) times 100,000 groups."""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from devtools.benchmarks.place import Place, place
from devtools.benchmarks.rows import MEMBERS
from devtools.benchmarks.web import Measure, all_measures
from devtools.benchmarks.writing import following, writing

# Measures with databases of their own: `python -m devtools.benchmarks writing following` runs these alone.
ALONE: dict[str, Callable[[Place], Iterator[Measure]]] = {"writing": writing, "following": following}
RESULTS = Path(__file__).parent / "results.json"
SMALL = 1_000  # groups, and rows of a changelist, in the small database


def main() -> None:
    """Run all measures, or those named, and print a table. Writes results.json only if all were measured."""
    scale = float(os.environ.get("SCALE") or 1)
    console = Console()
    with place() as found:
        wanted = set(sys.argv[1:])
        if not wanted or wanted - ALONE.keys():
            _databases(found, scale, console)
        measures: list[Measure] = []
        for name, measure in _measures(found, scale):
            if not wanted or name in wanted:
                began = time.monotonic()
                for each in measure():
                    measures.append(each)
                    console.print(f"{each.name}: {each.ours:,.1f} {each.unit}, ratio {each.ratio:.2f}", style="dim")
                console.print(f"({name}: {time.monotonic() - began:.0f} s)", style="dim")
    console.print(_table(measures))
    if not sys.argv[1:]:
        RESULTS.write_text(json.dumps(_document(measures, scale), indent=1, ensure_ascii=False) + "\n")


def _measures(found: Place, scale: float) -> Iterator[tuple[str, Callable[[], Iterator[Measure]]]]:
    yield from all_measures(found, scale)
    for name, measure in ALONE.items():
        yield name, partial(measure, found)


def _databases(found: Place, scale: float, console: Console) -> None:
    groups = max(SMALL, int(100_000 * scale))
    began = time.monotonic()
    found.env["DATABASE_URL"] = found.make_database("large", groups, groups * MEMBERS)
    found.make_database("small", SMALL, SMALL)
    found.make_database("history")
    console.print(f"{groups:,} groups by COPY: {time.monotonic() - began:.0f} s", style="dim")


def _table(measures: list[Measure]) -> Table:
    table = Table("measure", "ours", "yardstick", "unit", "ratio", "goal", "met")
    for m in measures:
        goal = f"{'≥' if m.unit.endswith('/s') else '≤'} {m.goal:g}"
        table.add_row(
            m.name, f"{m.ours:,.1f}", f"{m.yardstick:,.1f}", m.unit, f"{m.ratio:.2f}", goal, "yes" if m.met else "no"
        )
    return table


def _document(measures: list[Measure], scale: float) -> dict[str, object]:
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
    cpu = next((line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")), "unknown")
    machine = f"{psutil.cpu_count()} × {cpu}, {psutil.virtual_memory().total / 2**30:.0f} GB, {platform.system()}"
    rows = [
        {**m._asdict(), "ratio": round(m.ratio, 3), "ours": round(m.ours, 3), "yardstick": round(m.yardstick, 3)}
        | {"met": m.met}
        for m in measures
    ]
    return {
        "commit": commit,
        "machine": f"{machine}, Python {platform.python_version()}",
        "scale": scale,
        "measures": rows,
    }


def _cpuinfo() -> list[str]:
    file = Path("/proc/cpuinfo")
    return file.read_text().splitlines() if file.is_file() else []


if __name__ == "__main__":
    main()
