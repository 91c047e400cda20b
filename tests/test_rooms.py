"""Imports between the rooms of docs/design.md point down only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# From the roof down. A room imports none of its own line but itself, and none of a line above.
LINES = [
    ["ajo.console"],
    ["ajo.edge", "ajo.ops", "ajo.webserver"],
    ["ajo.transactions"],
    ["ajo.indexer"],
    ["contributions"],
    ["groups"],
    ["ajo.api"],
    ["ajo.soroban"],
    ["ajo.cache", "ajo.adminkit"],
    ["ajo.database", "ajo.conf"],
]
LINE_OF = {room: number for number, rooms in enumerate(LINES) for room in rooms}


@pytest.mark.parametrize("room", LINE_OF)
def test_a_room_imports_only_rooms_below_it(room: str) -> None:
    modules = [path for path in (ROOT / room.replace(".", "/")).rglob("*.py") if "migrations" not in path.parts]
    assert modules
    rising = {
        f"{module.relative_to(ROOT)} imports {name}"
        for module in modules
        for name in imported(module)
        if (other := room_of(name)) not in (None, room) and LINE_OF[other] <= LINE_OF[room]
    }
    assert rising == set()


def imported(module: Path) -> Iterator[str]:
    """Yield the full names of the modules, or of their members, that a module imports anywhere in it."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(name: str) -> str | None:
    """Return the room of a module; None for another package, and for modules on the roof."""
    return next((room for room in LINE_OF if f"{name}.".startswith(f"{room}.")), None)
