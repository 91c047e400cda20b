"""A process of the stack: it has a log of its own, is watched, and is stopped together with its children."""

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
from contextlib import suppress
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1
KEPT_LOGS = 5  # of earlier starts, beside the newest
POLL_SECONDS = 0.05  # between two checks of a condition
LOW_PRIORITY = 10  # of 19: what else runs gets ten times the processor's time
MIN_FREE = 2 * 2**24  # bytes: PostgreSQL does not start without room for two segments of its log
DISK_FULL = re.compile(f"{os.strerror(errno.ENOSPC)}|disk is full")


class StackError(Exception):
    """A problem and its remedy, in one line for a person."""


def rotate_logs(log: Path) -> None:
    """Rename an earlier log to `.1`, that one to `.2` and so on, dropping the oldest. Skips an empty log."""
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
        stop_timeout: float = 15,
        user: int | None = None,
        niceness: int = 0,
    ) -> None:
        """`stop_timeout`: seconds between `stop_signal` and SIGKILL; `user`: the id to run under, when we are root;
        `niceness`: what `lower_priority` adds to ours.
        """
        self.name = name
        self.argv = list(argv)
        self.log = log
        self.env = env
        self.stdin = stdin
        self.stop_signal = stop_signal
        self.stop_timeout = stop_timeout
        self.user = user
        self.niceness = niceness
        self.started_at = 0.0  # by time.time
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the program. Raises StackError when that fails."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        rotate_logs(self.log)
        self.started_at = time.time()
        parent, stop_signal = os.getpid(), int(self.stop_signal)

        def die_with_parent() -> None:
            LIBC.prctl(PR_SET_PDEATHSIG, stop_signal, 0, 0, 0)
            if os.getppid() != parent:  # it died before prctl
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

    def lower_priority(self) -> None:
        """Give the running process and its children less of the processor than others get, by `niceness`."""
        if self.process is not None and self.niceness:
            lower_priority(self.process.pid, self.niceness)

    def check(self) -> None:
        """Raise StackError, and print the end of the log, when the process has ended."""
        if self.has_ended:
            sys.stderr.write(self.tail())
            raise StackError(f"{self.name} stopped ({self.how_it_ended}): see {self.log}, then start again")

    @property
    def pid(self) -> int | None:
        """The id of the process, which may have ended; None before `start`."""
        return None if self.process is None else self.process.pid

    @property
    def has_ended(self) -> bool:
        """Return whether the process was started and runs no more."""
        return self.process is not None and self.process.poll() is not None

    @property
    def how_it_ended(self) -> str:
        """Return the exit code or the signal of a process that has ended, in words; else nothing."""
        code = None if self.process is None else self.process.poll()
        if code is None:
            return ""
        return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"

    @property
    def ended_by_full_disk(self) -> bool:
        """Return whether the process has ended because of a full disk, by its log or by the free space now."""
        if not self.has_ended:
            return False
        return DISK_FULL.search(self.tail(40)) is not None or not has_disk_space(self.log.parent)

    def wait_until(self, ready: Callable[[], bool], seconds: float = 60) -> None:
        """Wait for `ready`. Raises StackError when the process ends, or is not ready in time."""
        deadline = time.monotonic() + seconds
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                sys.stderr.write(self.tail())
                raise StackError(f"{self.name} is not up after {seconds:.0f} seconds: see {self.log}")
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """Send `stop_signal`, wait, then kill, its whole group included. Does nothing before `start`."""
        if self.process is None:
            return
        try:
            if self.process.poll() is None:
                self.process.send_signal(self.stop_signal)
                self.process.wait(self.stop_timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
        finally:
            _kill_group(self.process.pid)
            self.process.wait()
            self.process = None

    def tail(self, lines: int = 12) -> str:
        """Return the last lines of the log, each with the process's name before it."""
        text = self.log.read_text(errors="replace").splitlines()[-lines:]
        return "".join(f"  {self.name}| {line}\n" for line in text)


def lower_priority(session: int, niceness: int) -> None:
    """Give the processes of a session, which its leader's id names, less of the processor than others get.

    Where the kernel groups processes by session (autogroup), niceness only counts inside of one session: the session
    gets the same.
    """
    value = min(os.getpriority(os.PRIO_PROCESS, 0) + niceness, 19)
    with suppress(OSError):  # it has ended, or there are no such groups
        os.setpriority(os.PRIO_PGRP, session, value)
        Path(f"/proc/{session}/autogroup").write_text(str(value))


def has_disk_space(folder: Path) -> bool:
    """Return whether the disk has room for a process to start."""
    return shutil.disk_usage(folder).free > MIN_FREE


def _kill_group(group: int) -> None:
    """Kill a process group. Does nothing when it is empty."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def free_port() -> int:
    """Return a TCP port on loopback that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def require_free(port: int, variable: str, host: str = "127.0.0.1") -> None:
    """Raise StackError, naming the variable to change, when the port cannot be bound."""
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
