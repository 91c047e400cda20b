"""Recorded files: answers of the real contract and of the real RPC server."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent.parent
VECTORS = sorted((HERE / "vectors").glob("*.json"))
EXCHANGES = sorted((HERE / "rpc").glob("*.json"))
READING = [file for file in EXCHANGES if not file.stem.startswith("writing-")]


def document(name: str) -> dict[str, Any]:
    """Return a file of vectors."""
    found: dict[str, Any] = json.loads((HERE / "vectors" / name).read_text())
    return found


def steps() -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield every step of every vector file, with its file's head."""
    for path in VECTORS:
        found = json.loads(path.read_text())
        for step in found.get("steps", ()):
            yield found, step


def entries() -> Iterator[tuple[str, str]]:
    """Yield every recorded key and entry, in base64."""
    for _, step in steps():
        for change in step.get("changes", ()):
            yield change["key"], change["xdr"]
    for older in document("older-groups.json")["entries"]:
        yield older["key"], older["xdr"]


def writing(name: str) -> dict[str, Any]:
    """Return a recording of the calls that write, with the steps of its transactions."""
    found: dict[str, Any] = json.loads((HERE / "rpc" / f"writing-{name}.json").read_text())
    return found
