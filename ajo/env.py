"""Environment variables, read by django-environ: a value that cannot be read is noted by name, not raised.

Settings are imported by everything, so an exception there reaches a person as a traceback. A `Reader` falls back to the
default instead and keeps the problem; the system checks (ajo/checks.py) then refuse to start and name the variable.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import environ
from django.core.exceptions import ImproperlyConfigured

from ajo.addresses import ip_address

T = TypeVar("T")


class Reader:
    """Reads variables; `problems` holds (name, what is wrong), `names` every variable that was asked for."""

    def __init__(self) -> None:
        self.env = environ.Env()
        self.problems: list[tuple[str, str]] = []
        self.names: set[str] = set()

    def _read(self, name: str, default: T, wanted: str, parse: Callable[[str], T]) -> T:
        self.names.add(name)
        raw = str(self.env.str(name, default="")).strip()
        if not raw:
            return default
        try:
            return parse(raw)
        except (ValueError, ImproperlyConfigured):
            # The value may hold a password: say what was expected, never what was found.
            self.problems.append((name, f"expected {wanted}"))
            return default

    def text(self, name: str, default: str = "", *, empty: bool = False) -> str:
        """`empty`: a variable that is set to nothing means nothing, not the default."""
        if empty and not os.environ.get(name, "unset").strip():
            default = ""
        return self._read(name, default, "a text", str)

    def flag(self, name: str) -> bool:
        """on/true/yes/1 or off/false/no/0; off when unset."""

        def parse(raw: str) -> bool:
            if raw.lower() in environ.Env.BOOLEAN_TRUE_STRINGS:
                return True
            if raw.lower() in ("off", "false", "no", "n", "f", "0"):
                return False
            raise ValueError(raw)

        return self._read(name, False, "on or off", parse)

    def number(self, name: str, default: int, least: int, most: int) -> int:
        def parse(raw: str) -> int:
            value = int(raw)
            if not least <= value <= most:
                raise ValueError(raw)
            return value

        return self._read(name, default, f"a whole number from {least} to {most}", parse)

    def address(self, name: str, default: str) -> str:
        """The IP address of one of this machine's interfaces."""
        return self._read(name, default, "an IP address: 127.0.0.1, ::1, 0.0.0.0 or ::, for example", ip_address)

    def folder(self, name: str) -> str:
        """A folder that is made if it is missing. One that cannot be used is as if unset, also for libraries."""

        def parse(raw: str) -> str:
            try:
                Path(raw).mkdir(parents=True, exist_ok=True)
            except OSError as failure:
                raise ValueError(raw) from failure
            if not os.access(raw, os.W_OK):
                raise ValueError(raw)
            return raw

        found = self._read(name, "", "a folder that can be written to", parse)
        if not found:
            os.environ.pop(name, None)
        return found

    def listed(self, name: str, default: tuple[str, ...] = ()) -> list[str]:
        """Comma separated; empty items are dropped."""
        return self._read(name, list(default), "a comma-separated list", _split)

    def mapping(self, name: str) -> dict[str, str]:
        """HTTP headers: a JSON object of strings, or `name=value,name=value`."""

        def parse(raw: str) -> dict[str, str]:
            found = json.loads(raw) if raw.startswith("{") else dict(item.split("=", 1) for item in _split(raw))
            clean = {str(key).strip(): value.strip() for key, value in found.items() if isinstance(value, str)}
            if len(clean) != len(found) or not all(clean):
                raise ValueError("not text")
            return clean

        return self._read(name, {}, 'name=value pairs, comma separated, or a JSON object such as {"X-Key": "…"}', parse)

    def database(self, name: str) -> dict[str, object]:
        """A postgres:// address as one entry of Django's DATABASES; PostgreSQL only."""

        def parse(raw: str) -> dict[str, object]:
            if not raw.startswith(("postgres://", "postgresql://")):
                raise ValueError("not PostgreSQL")
            found = dict(environ.Env.db_url_config(raw))
            if not found.get("NAME"):
                raise ValueError("no database name")
            return found

        return self._read(name, {}, "an address like postgres://user:password@host:5432/name", parse)


def _split(raw: str) -> list[str]:
    return [item.strip() for item in raw.split(",") if item.strip()]


def read_env_file(root: Path) -> None:
    """Load `ENV_FILE` (default: `.env` in the project) where it exists; real variables win over the file's."""
    path = Path(os.environ.get("ENV_FILE") or root / ".env")
    if path.is_file():
        environ.Env.read_env(path)
