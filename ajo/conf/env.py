"""Environment variables and the file of them: a value that cannot be read is noted by name, not raised.

Settings are imported by everything, so an exception there reaches a person as a traceback. A `Reader` falls back to the
default instead and keeps the problem; the system checks (ajo/conf/checks.py) then refuse to start and name the variable.
"""

import io
import json
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar
from urllib.parse import parse_qsl

import environ
from django.core.exceptions import ImproperlyConfigured
from psycopg.pq import Conninfo

from ajo.conf.addresses import ip_address

T = TypeVar("T")

# Options behind the ? of DATABASE_URL that other libraries read and that ask for nothing which is not so here.
_OF_OTHERS = {
    *("pgbouncer", "pool_timeout", "statement_cache_size", "prepared_statements", "prepareThreshold", "supa"),
}
_SCHEMA = {"schema", "currentSchema", "search_path"}
_PLACES = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
_INSTEAD = {
    "connection_limit": "set DATABASE_POOL_SIZE instead",
    "pool_size": "set DATABASE_POOL_SIZE instead",
    "ssl": "write sslmode=require or sslmode=verify-full instead",
    "sslaccept": "write sslmode=require or sslmode=verify-full instead",
}

# Read by devtools/stack and the sandbox, which must not load Django's settings, and by docker-compose.yml.
READ_ELSEWHERE = {
    "DATA_DIR",
    "SANDBOX_PORT",
    "SANDBOX_LEDGER_SECONDS",
    "SANDBOX_DEMO",
    "POSTGRES_PASSWORD",
    "PUBLISH_ADDRESS",
}
_NO_OPTIONS = "expected name=value&name=value behind the ?, with %3F for a ? in a password"
_ASSIGNMENT = re.compile(r"(?:export )?([A-Za-z_0-9]+)=")  # as django-environ reads a line


class Unusable(ValueError):
    """A value whose problem can be said more exactly. The text repeats nothing that may be secret."""


class Reader:
    """Reads variables; `problems` holds (name, what is wrong), `names` every variable that was asked for."""

    def __init__(self, problems: Iterable[tuple[str, str]] = ()) -> None:
        self.problems: list[tuple[str, str]] = list(problems)
        self.names: set[str] = set()

    def _read(self, name: str, default: T, wanted: str, parse: Callable[[str], T]) -> T:
        self.names.add(name)
        # Not by django-environ, which takes a value that begins with $ for the name of another variable.
        raw = os.environ.get(name, "").strip()
        if not raw:
            return default
        try:
            return parse(raw)
        except Unusable as failure:
            self.problems.append((name, str(failure)))
            return default
        except (ValueError, ImproperlyConfigured):
            # The value may hold a password: say what was expected, never what was found.
            self.problems.append((name, f"expected {wanted}"))
            return default

    def text(self, name: str, default: str = "", *, empty: bool = False) -> str:
        """`empty`: a variable that is set to nothing means nothing, not the default."""
        if empty and not os.environ.get(name, "unset").strip():
            default = ""
        return self._read(name, default, "a text", str)

    def bool(self, name: str) -> bool:
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

    def list(self, name: str, default: tuple[str, ...] = ()) -> list[str]:
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
            address, _, query = raw.partition("?")
            found: dict[str, object] = dict(environ.Env.db_url_config(address))
            options = _libpq_options(query)
            found |= {key: options.pop(option) for option, key in _PLACES.items() if option in options}
            if not found.get("NAME"):
                raise ValueError("no database name")
            return found | {"OPTIONS": options}

        wanted = "an address like postgres://user:password@host:5432/name, with %23 for a # and the like in a password"
        return self._read(name, {}, wanted, parse)


def _libpq_options(query: str) -> dict[str, str]:
    """Return libpq's options of an address. Raises Unusable for one that is neither its nor of no consequence."""
    known = {option.keyword.decode() for option in Conninfo.get_defaults()}
    options = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name in known:
            options[name] = value
        elif name in _INSTEAD:
            raise Unusable(f"PostgreSQL knows no option {name}; {_INSTEAD[name]}")
        elif name in _SCHEMA and value != "public":
            raise Unusable(f"{name}: the tables are in the schema public")
        elif name not in _OF_OTHERS | _SCHEMA:
            raise Unusable(f"PostgreSQL knows no option {name}; take it away" if name.isidentifier() else _NO_OPTIONS)
    return options


def _split(raw: str) -> list[str]:
    return [item.strip() for item in raw.split(",") if item.strip()]


class EnvFile:
    """The file of variables: `ENV_FILE`, by default `.env` in the project, where it exists.

    `names` are the variables that it sets, `problems` what is wrong with it, as in `Reader`.
    """

    def __init__(self, root: Path) -> None:
        named = os.environ.get("ENV_FILE", "")
        self.path = Path(named or root / ".env")
        self.names: set[str] = set()
        self.problems: list[tuple[str, str]] = []
        self._lines: list[str] = []
        try:
            text = self.path.read_text() if named or self.path.exists() else ""
        except (OSError, ValueError) as failure:
            why = failure.strerror if isinstance(failure, OSError) else "it is not UTF-8"
            self.problems.append(("ENV_FILE", f"{self.path} cannot be read: {why}"))
            return
        for number, line in enumerate(text.splitlines(), 1):
            if found := _ASSIGNMENT.match(line):
                self.names.add(found[1])
                self._lines.append(line)
            elif line.strip() and not line.lstrip().startswith("#"):
                # The line may hold a password.
                self.problems.append(("ENV_FILE", f"line {number} of {self.path} is not NAME=value"))

    def load(self) -> None:
        """Set the file's variables; real ones win."""
        environ.Env.read_env(io.StringIO("\n".join(self._lines)))
