"""What an examination found: one line each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Level(IntEnum):
    """How bad it is; the worst one is the command's exit code."""

    OK = 0
    WARNING = 1
    ERROR = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """A fact about one part. `advice` says what to do; empty where nothing is wrong. No text holds a key."""

    part: str
    level: Level
    text: str
    advice: str = ""

    def __str__(self) -> str:
        advice = f" → {self.advice}" if self.advice else ""
        return f"{self.level.name.lower():<8} {self.part:<10} {self.text}{advice}"


def ok(part: str, text: str) -> Finding:
    """Return a fact that needs nobody."""
    return Finding(part, Level.OK, text)


def warning(part: str, text: str, advice: str) -> Finding:
    """Return a fact that makes the service slow or stale, or will stop it."""
    return Finding(part, Level.WARNING, text, advice)


def error(part: str, text: str, advice: str) -> Finding:
    """Return a fact that keeps the service from its work."""
    return Finding(part, Level.ERROR, text, advice)
