"""Environment variables and the file of them. A value that cannot be parsed is recorded by name, not raised.

All modules import the settings, so an exception there reaches a person as a traceback. A `Reader` falls back to the
default instead and records the problem; the system checks then refuse to start and name the variable.
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

# Options behind the ? of DATABASE_URL that only other libraries read; ignoring them changes nothing.
_IGNORED_OPTIONS = {
    *("pgbouncer", "pool_timeout", "statement_cache_size", "prepared_statements", "prepareThreshold", "supa"),
}
_SCHEMA = {"schema", "currentSchema", "search_path"}
_DJANGO_KEYS = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
_REPLACEMENTS = {
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
    """A value with a known problem. The text repeats nothing that may be secret."""


class Reader:
    """Reads variables. `problems` holds (name, what is wrong), `names` every variable that was read."""

    def __init__(self, problems: Iterable[tuple[str, str]] = ()) -> None:
        self.problems: list[tuple[str, str]] = list(problems)
        self.names: set[str] = set()

    def _read(self, name: str, default: T, wanted: str, parse: Callable[[str], T]) -> T:
        self.names.add(name)
        raw = given(name)
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
        """Return a text. With `empty`, a variable set to nothing gives an empty text, not the default."""
        if empty and name in os.environ and not given(name):
            default = ""
        return self._read(name, default, "a text", str)

    def bool(self, name: str) -> bool:
        """Return a boolean from on/true/yes/1 or off/false/no/0; off when unset."""

        def parse(raw: str) -> bool:
            if raw.lower() in environ.Env.BOOLEAN_TRUE_STRINGS:
                return True
            if raw.lower() in ("off", "false", "no", "n", "f", "0"):
                return False
            raise ValueError(raw)

        return self._read(name, False, "on or off", parse)

    def number(self, name: str, default: int, least: int, most: int) -> int:
        """Return a whole number from `least` to `most`."""

        def parse(raw: str) -> int:
            value = int(raw)
            if not least <= value <= most:
                raise ValueError(raw)
            return value

        return self._read(name, default, f"a whole number from {least} to {most}", parse)

    def address(self, name: str, default: str) -> str:
        """Return the IP address of one of this machine's interfaces."""
        return self._read(name, default, "an IP address: 127.0.0.1, ::1, 0.0.0.0 or ::, for example", ip_address)

    def folder(self, name: str) -> str:
        """Return a folder, creating it. An unusable one is removed from the environment, for libraries too."""

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
        """Return the items of a comma-separated list; empty ones are dropped."""
        return self._read(name, list(default), "a comma-separated list", _split)

    def mapping(self, name: str) -> dict[str, str]:
        """Return HTTP headers from a JSON object of strings, or from `name=value,name=value`."""

        def parse(raw: str) -> dict[str, str]:
            found = json.loads(raw) if raw.startswith("{") else dict(item.split("=", 1) for item in _split(raw))
            clean = {str(key).strip(): value.strip() for key, value in found.items() if isinstance(value, str)}
            if len(clean) != len(found) or not all(clean):
                raise ValueError("not text")
            return clean

        return self._read(name, {}, 'name=value pairs, comma separated, or a JSON object such as {"X-Key": "…"}', parse)

    def database(self, name: str) -> dict[str, object]:
        """Return a postgres:// address as an entry of Django's DATABASES."""

        def parse(raw: str) -> dict[str, object]:
            if not raw.startswith(("postgres://", "postgresql://")):
                raise ValueError("not PostgreSQL")
            address, _, query = raw.partition("?")
            found: dict[str, object] = dict(environ.Env.db_url_config(address))
            options = _libpq_options(query)
            found |= {key: options.pop(option) for option, key in _DJANGO_KEYS.items() if option in options}
            if not found.get("NAME"):
                raise ValueError("no database name")
            return found | {"OPTIONS": options}

        wanted = "an address like postgres://user:password@host:5432/name, with %23 for a # and the like in a password"
        return self._read(name, {}, wanted, parse)


def _libpq_options(query: str) -> dict[str, str]:
    """Return libpq's options in a query string. Raises Unusable for any other that cannot be ignored."""
    known = {option.keyword.decode() for option in Conninfo.get_defaults()}
    options = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name in known:
            options[name] = value
        elif name in _REPLACEMENTS:
            raise Unusable(f"PostgreSQL knows no option {name}; {_REPLACEMENTS[name]}")
        elif name in _SCHEMA and value != "public":
            raise Unusable(f"{name}: the tables are in the schema public")
        elif name not in _IGNORED_OPTIONS | _SCHEMA:
            raise Unusable(f"PostgreSQL knows no option {name}; take it away" if name.isidentifier() else _NO_OPTIONS)
    return options


def given(name: str) -> str:
    """Return a variable's value, empty where it is unset or set to nothing.

    A pair of quotes around it is not part of it: docker's `--env-file` and compose's raw format leave them there. It is
    not read by django-environ, which takes a value that begins with $ for the name of another variable.
    """
    raw = os.environ.get(name, "").strip()
    return raw[1:-1].strip() if len(raw) > 1 and raw[0] == raw[-1] and raw[0] in "'\"" else raw


def _split(raw: str) -> list[str]:
    return [item.strip() for item in raw.split(",") if item.strip()]


class EnvFile:
    """The file of variables: `ENV_FILE`, by default `.env` in the project, where it exists.

    `names` holds the variables that it sets, `problems` what is wrong with it, as in `Reader`.
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
        """Set the file's variables in the environment; variables that are set already win."""
        environ.Env.read_env(io.StringIO("\n".join(self._lines)))
