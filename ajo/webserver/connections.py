"""Limits on a web process's client connections for which granian has no setting.

A thread of the process looks at all of them once a second and shuts down those that break a limit: one that sends
nothing, a request that takes too long to arrive or to be answered, an answer that its client does not read, and those
that one address holds beyond its share. The kernel knows what each has sent and been sent (TCP_INFO); nothing is
counted on the way of a request.
"""

from __future__ import annotations

import logging
import os
import socket
import struct
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from django.conf import settings

from ajo.api.throttles import address_of_client, is_trusted_proxy

log = logging.getLogger(__name__)

LOOK_EVERY = 1.0  # seconds
SILENT = 10.0  # seconds that a new connection may take to send its first byte
IDLE = 90.0  # seconds between an answer and the next request; HTTP/1.1's end earlier, by granian (ajo/web.py)
REQUEST = 20.0  # seconds from a request's first byte to its answer's, and between two parts of an answer that are read
# Connections of one client address with one process. Beyond the first number those are shut down that have been idle
# for a while, beyond the second any: many may ask at once from behind one address, and go again.
PER_CLIENT, PER_CLIENT_MOST = 100, 1_000
IDLE_SURPLUS = 5.0  # seconds
# struct tcp_info (linux/tcp.h): tcpi_bytes_acked and tcpi_bytes_received, then tcpi_notsent_bytes
_COUNTS: Final = struct.Struct("=120xQQ8xI")


@dataclass(slots=True)
class Progress:
    """What is known of a connection. Times are of time.monotonic.

    `received` is how much had been received when the answer last moved: what comes after it is a request.
    """

    client: str  # empty for a trusted proxy, which has no share
    acked: int
    received: int
    since: float  # the last change: opened, a request began, an answer moved
    is_waiting: bool  # for the client's first byte or for our answer; else it is idle
    has_sent: bool = False  # anything at all

    @property
    def patience(self) -> float:
        """Seconds that it may stay as it is."""
        if not self.is_waiting:
            return IDLE
        return REQUEST if self.has_sent else SILENT

    def move(self, acked: int, received: int, now: float) -> None:
        self.has_sent = received > 0
        if acked != self.acked:
            self.acked, self.received, self.since, self.is_waiting = acked, received, now, False
        elif received > self.received and not self.is_waiting:
            self.since, self.is_waiting = now, True


class ConnectionLimits:
    """The connections that clients have with this process, by their sockets' inodes."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._known: dict[int, Progress] = {}

    def start(self) -> None:
        threading.Thread(target=self._look_always, name="connection-limits", daemon=True).start()

    def _look_always(self) -> None:
        while True:
            time.sleep(LOOK_EVERY)
            try:
                self.look(time.monotonic())
            except OSError as failure:  # no file descriptor is left to look with
                log.warning("the connections cannot be looked at now: %s", failure)

    def look(self, now: float) -> None:
        """Shut down what breaks a limit at this moment."""
        known: dict[int, Progress] = {}
        of_clients: dict[str, list[int]] = defaultdict(list)
        beyond: set[int] = set()
        for inode, connection in self._accepted():
            try:
                info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
                acked, received, unsent = _COUNTS.unpack_from(info)
                found = self._known.get(inode) or _opened(connection, acked, received, now)
            except OSError:  # closed meanwhile
                continue
            found.move(acked, received, now)
            known[inode] = found
            took = now - found.since
            if took > (REQUEST if unsent else found.patience):
                beyond.add(inode)
            if found.client:
                of_clients[found.client].append(inode)
        for inodes in of_clients.values():
            inodes.sort(key=lambda inode: (known[inode].is_waiting, known[inode].since))
            beyond.update(inodes[: max(0, len(inodes) - PER_CLIENT_MOST)])
            for inode in inodes[: max(0, len(inodes) - PER_CLIENT)]:
                if not known[inode].is_waiting and now - known[inode].since > IDLE_SURPLUS:
                    beyond.add(inode)
        self._known = known
        if beyond:
            self._shut_down(beyond)

    def _shut_down(self, inodes: set[int]) -> None:
        for inode, connection in self._accepted():
            if inode in inodes:
                with suppress(OSError):  # closed meanwhile
                    connection.shutdown(socket.SHUT_RDWR)

    def _accepted(self) -> Iterator[tuple[int, socket.socket]]:
        """Each client connection by a descriptor of our own, so that the number cannot become another's meanwhile."""
        for name in os.listdir("/proc/self/fd"):
            try:
                own = os.dup(int(name))
            except OSError:
                continue
            try:
                connection = socket.socket(fileno=own)
            except OSError:  # no socket
                os.close(own)
                continue
            with connection:
                if self._is_accepted(connection):
                    yield os.fstat(own).st_ino, connection

    def _is_accepted(self, connection: socket.socket) -> bool:
        if connection.family not in (socket.AF_INET, socket.AF_INET6) or connection.type != socket.SOCK_STREAM:
            return False
        try:
            connection.getpeername()
        except OSError:  # the one that listens, or one whose client is gone
            return False
        return bool(connection.getsockname()[1] == self._port)


def _opened(connection: socket.socket, acked: int, received: int, now: float) -> Progress:
    """Of a connection that is seen for the first time. Raises OSError where its client is gone."""
    address = connection.getpeername()[0]
    client = (
        ""
        if is_trusted_proxy(address, tuple(settings.TRUSTED_PROXIES))
        else address_of_client({"REMOTE_ADDR": address})
    )
    return Progress(client, acked, received if acked else 0, now, is_waiting=not acked)
