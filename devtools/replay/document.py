"""Reading of recorded files, and the wording of differences."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

MISSING: Final = ...  # in place of what is not there: JSON has no such value


class UnreadableFile(Exception):
    """The file cannot be replayed. The message says why, in one line."""


def load(path: Path) -> dict[str, Any]:
    """Read a JSON object from a file. Raises UnreadableFile."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UnreadableFile(f"cannot be read: {error.strerror or type(error).__name__}") from error
    except (ValueError, RecursionError) as error:
        raise UnreadableFile(f"is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise UnreadableFile("is not a JSON object")
    return found


def unequal(what: str, ours: object, recorded: object) -> Iterator[str]:
    """Yield a line if two values differ in type or value."""
    if type(ours) is not type(recorded) or ours != recorded:
        yield f"{what} is {_short(ours)}, recorded {_short(recorded)}"


def _short(value: object) -> str:
    shown = "missing" if value is MISSING else repr(value)
    return shown if len(shown) <= 200 else f"{shown[:200]}…"
