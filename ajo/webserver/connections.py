"""Limits on a web process's client connections for which granian has no setting.

A thread of the process checks all of them once a second and shuts down those that break a limit: one that sends
nothing, a request that takes too long to arrive or to be answered, an answer that its client does not read, and those
that one address holds beyond its share. The kernel knows what each has sent and been sent (TCP_INFO); a request costs
nothing.
"""

from __future__ import annotations

import logging
import socket
import struct
import threading
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from django.conf import settings

from ajo.api.throttles import address_of_client, is_trusted_proxy
from ajo.webserver.sockets import accepted, inode_of

log = logging.getLogger(__name__)

CHECK_INTERVAL = 1.0  # seconds
FIRST_BYTE_TIMEOUT = 10.0  # seconds that a new connection may take to send its first byte
IDLE_TIMEOUT = 90.0  # seconds between an answer and the next request; granian ends HTTP/1.1's earlier (ajo/web.py)
# Seconds from a request's first byte to its answer's, and between two parts of an answer: more than a client may wait
# for a transaction (ajo/transactions/waiting.py).
REQUEST_TIMEOUT = 30.0
# Connections of one client address with one process. Beyond PER_CLIENT those are shut down that have been idle for
# SURPLUS_IDLE_TIMEOUT seconds, beyond PER_CLIENT_MAX any: many clients may ask at once from behind one address.
PER_CLIENT, PER_CLIENT_MAX = 100, 1_000
SURPLUS_IDLE_TIMEOUT = 5.0
# struct tcp_info (linux/tcp.h): tcpi_bytes_acked and tcpi_bytes_received, then tcpi_notsent_bytes
_COUNTS: Final = struct.Struct("=120xQQ8xI")


@dataclass(slots=True)
class Progress:
    """The state of one connection. Times are of time.monotonic, amounts in bytes.

    `received` is how much had arrived when the answer last progressed: what comes after it is a request.
    """

    client: str  # address; empty for a trusted proxy, which may have any number
    acked: int
    received: int
    since: float  # the last change: it was opened, a request began, an answer progressed
    is_waiting: bool  # for the client's first byte or for our answer; else it is idle
    has_sent: bool = False  # anything at all

    @property
    def timeout(self) -> float:
        """Return the seconds that it may stay as it is."""
        if not self.is_waiting:
            return IDLE_TIMEOUT
        return REQUEST_TIMEOUT if self.has_sent else FIRST_BYTE_TIMEOUT

    def update(self, acked: int, received: int, now: float) -> None:
        """Take over the kernel's counts."""
        self.has_sent = received > 0
        if acked != self.acked:
            self.acked, self.received, self.since, self.is_waiting = acked, received, now, False
        elif received > self.received and not self.is_waiting:
            self.since, self.is_waiting = now, True


class ConnectionLimits:
    """Watches the connections that clients have with this process's port, and shuts down those that break a limit."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._known: dict[int, Progress] = {}  # by the socket's inode

    def start(self) -> None:
        """Check once a second from a thread of its own, for as long as the process lives."""
        threading.Thread(target=self._check_forever, name="connection-limits", daemon=True).start()

    def _check_forever(self) -> None:
        while True:
            time.sleep(CHECK_INTERVAL)
            try:
                self.check(time.monotonic())
            except OSError as failure:  # no file descriptor is left to look with
                log.warning("the connections cannot be looked at now: %s", failure)

    def check(self, now: float) -> None:
        """Shut down what breaks a limit at `now`. Raise OSError where no file descriptor is left to do it with."""
        known: dict[int, Progress] = {}
        by_client: dict[str, list[int]] = defaultdict(list)
        excess: set[int] = set()
        for _, connection in accepted(self._port):
            try:
                inode = inode_of(connection.fileno())
                info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
                acked, received, unsent = _COUNTS.unpack_from(info)
                found = self._known.get(inode) or _opened(connection, acked, received, now)
            except OSError:  # closed meanwhile
                continue
            found.update(acked, received, now)
            known[inode] = found
            took = now - found.since
            if took > (REQUEST_TIMEOUT if unsent else found.timeout):
                excess.add(inode)
            if found.client:
                by_client[found.client].append(inode)
        for inodes in by_client.values():
            inodes.sort(key=lambda inode: (known[inode].is_waiting, known[inode].since))
            excess.update(inodes[: max(0, len(inodes) - PER_CLIENT_MAX)])
            for inode in inodes[: max(0, len(inodes) - PER_CLIENT)]:
                if not known[inode].is_waiting and now - known[inode].since > SURPLUS_IDLE_TIMEOUT:
                    excess.add(inode)
        self._known = known
        if excess:
            self._shut_down(excess)

    def _shut_down(self, inodes: set[int]) -> None:
        for _, connection in accepted(self._port):
            with suppress(OSError):  # closed meanwhile
                if inode_of(connection.fileno()) in inodes:
                    connection.shutdown(socket.SHUT_RDWR)


def _opened(connection: socket.socket, acked: int, received: int, now: float) -> Progress:
    """Return the state of a connection that is new to us. Raise OSError where its client is gone."""
    address = connection.getpeername()[0]
    client = (
        ""
        if is_trusted_proxy(address, tuple(settings.TRUSTED_PROXIES))
        else address_of_client({"REMOTE_ADDR": address})
    )
    return Progress(client, acked, received if acked else 0, now, is_waiting=not acked)
