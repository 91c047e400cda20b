"""Reading recorded files, closed by default: whatever is not there or of another type ends the file with one line."""

import json
from pathlib import Path
from typing import Any


class UnreadableFile(Exception):
    """The file cannot be replayed; the message says why, in one line."""


def load(path: Path) -> dict[str, Any]:
    """A JSON object from a file. Raises UnreadableFile."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UnreadableFile(f"cannot be read: {error.strerror or type(error).__name__}") from error
    except (ValueError, RecursionError) as error:
        raise UnreadableFile(f"is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise UnreadableFile("is not a JSON object")
    return found


def text(document: dict[str, Any], name: str) -> str:
    found = document.get(name)
    if not isinstance(found, str):
        raise UnreadableFile(f"has no text {name!r}")
    return found


def items(document: dict[str, Any], name: str) -> list[Any]:
    found = document.get(name)
    if not isinstance(found, list):
        raise UnreadableFile(f"has no list {name!r}")
    return found
