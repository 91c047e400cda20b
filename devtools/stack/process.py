"""One process of the stack: started with a log of its own, watched, and stopped together with all its children."""

import ctypes
import errno
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1
KEPT_LOGS = 5  # of earlier starts, beside the newest
POLL = 0.05  # seconds between two looks at a condition


ROOM = 2 * 2**24  # bytes: two segments of PostgreSQL's log, without which it does not start
NO_ROOM = re.compile(f"{os.strerror(errno.ENOSPC)}|disk is full")


class StackError(Exception):
    """What went wrong and what to do, in one line for a person."""


def keep_earlier(log: Path) -> None:
    """Move a log of an earlier start to `.1`, that one to `.2` and so on; the oldest makes room."""
    if log.is_file() and log.stat().st_size > 0:
        names = [log, *(log.with_name(f"{log.name}.{number}") for number in range(1, KEPT_LOGS + 1))]
        for older, newer in zip(reversed(names[1:]), reversed(names[:-1]), strict=True):
            if newer.is_file():
                newer.replace(older)


class ManagedProcess:
    """A child in a session of its own: Ctrl-C on the terminal reaches only the stack, which stops its parts in order.

    The kernel sends `stop_signal` when the stack itself dies, even by SIGKILL: nothing is left behind.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        log: Path,
        *,
        env: Mapping[str, str] | None = None,
        stdin: str = "",
        stop_signal: signal.Signals = signal.SIGTERM,
        patience: float = 15,
        user: int | None = None,
    ) -> None:
        """`patience`: seconds between `stop_signal` and SIGKILL; `user`: the id to run under, when we are root."""
        self.name = name
        self.argv = list(argv)
        self.log = log
        self.env = env
        self.stdin = stdin
        self.stop_signal = stop_signal
        self.patience = patience
        self.user = user
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Raises StackError when the program cannot be started."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        keep_earlier(self.log)
        parent, stop_signal = os.getpid(), int(self.stop_signal)

        def die_with_parent() -> None:
            LIBC.prctl(PR_SET_PDEATHSIG, stop_signal, 0, 0, 0)
            if os.getppid() != parent:  # it died before the kernel was told
                os._exit(1)

        groups: list[int] | None = None if self.user is None else []
        try:
            with self.log.open("wb") as log:
                self.process = subprocess.Popen(
                    self.argv,
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=self.env,
                    start_new_session=True,
                    preexec_fn=die_with_parent,  # safe: the stack has one thread
                    user=self.user,
                    group=self.user,
                    extra_groups=groups,
                )
        except OSError as error:
            raise StackError(f"{self.name} cannot be started: {self.argv[0]}: {error.strerror}") from error
        if self.process.stdin is not None:
            self.process.stdin.write(self.stdin.encode())
            self.process.stdin.close()

    def check(self) -> None:
        """Raises StackError with the end of the log when the process is gone."""
        if self.process is not None and self.process.poll() is not None:
            sys.stderr.write(self.tail())
            raise StackError(
                f"{self.name} stopped ({_ended(self.process.returncode)}): see {self.log}, then start again"
            )

    @property
    def lacks_room(self) -> bool:
        """Whether the process is gone, and a full disk is why, by what it said or by how things are."""
        if self.process is None or self.process.poll() is None:
            return False
        return NO_ROOM.search(self.tail(40)) is not None or not has_room(self.log.parent)

    def wait_until(self, ready: Callable[[], bool], seconds: float = 60) -> None:
        """Raises StackError when the process dies, or is not ready in time."""
        deadline = time.monotonic() + seconds
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                sys.stderr.write(self.tail())
                raise StackError(f"{self.name} is not up after {seconds:.0f} seconds: see {self.log}")
            time.sleep(POLL)

    def stop(self) -> None:
        """Ask, wait, then kill; whatever the process left in its group goes as well."""
        if self.process is None:
            return
        try:
            if self.process.poll() is None:
                self.process.send_signal(self.stop_signal)
                self.process.wait(self.patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
        finally:
            _kill_group(self.process.pid)
            self.process.wait()
            self.process = None

    def tail(self, lines: int = 12) -> str:
        text = self.log.read_text(errors="replace").splitlines()[-lines:]
        return "".join(f"  {self.name}| {line}\n" for line in text)


def has_room(folder: Path) -> bool:
    """Whether the disk has room for a part to start."""
    return shutil.disk_usage(folder).free > ROOM


def _kill_group(group: int) -> None:
    """A session's children keep its group id; when none is left there is nobody to kill."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def _ended(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"


def free_port() -> int:
    """A TCP port on loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def require_free(port: int, variable: str, host: str = "127.0.0.1") -> None:
    """Raises StackError that names the variable to change."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                raise StackError(f"WEB_HOST: {host} is no address of this machine") from error
            taken = error.errno == errno.EADDRINUSE
            what = "is in use: stop what uses it" if taken else f"cannot be had: {error.strerror}"
            raise StackError(f"port {port} {what}, or start with {variable}=<another port>") from error
