"""Waits until a client has taken what it was sent: granian itself queues any amount, and says nothing of it.

The kernel knows how much a connection has not delivered yet. While that is little, all that granian was given has left
this process.
"""

from __future__ import annotations

import fcntl
import struct
import time
from contextlib import suppress
from ipaddress import ip_address
from typing import Final

from ajo.webserver.sockets import accepted, inode_of

MAX_UNDELIVERED = 512 * 1024  # bytes that wait for a client in the kernel before more is made
POLL = 0.02  # seconds between two looks
SIOCOUTQ: Final = 0x5411  # linux/sockios.h, the same as TIOCOUTQ


class ConnectionClosed(Exception):
    """The client's connection is gone."""


class Pace:
    """The pace at which one client, whose address and port are given, takes its answer from our port."""

    def __init__(self, address: str, port: int, own_port: int) -> None:
        self._client = ip_address(address.partition("%")[0]), port
        self._own_port = own_port
        self._found = self._find()

    def wait(self) -> None:
        """Wait until little is undelivered; not at all where the connection was not found. Raise ConnectionClosed.

        Who never reads is ended by ajo/webserver/connections.py.
        """
        while self._found and self._undelivered(*self._found) > MAX_UNDELIVERED:
            time.sleep(POLL)

    def _undelivered(self, descriptor: int, inode: int) -> int:
        """Return the bytes in the kernel's queue. Raise ConnectionClosed."""
        with suppress(OSError):
            if inode_of(descriptor) == inode:
                (count,) = struct.unpack("i", fcntl.ioctl(descriptor, SIOCOUTQ, b"\0" * 4))
                return int(count)
        # Granian has closed it; or it was a duplicate that another thread had for a moment.
        self._found = self._find()
        if self._found is None:
            raise ConnectionClosed
        return self._undelivered(*self._found)

    def _find(self) -> tuple[int, int] | None:
        """Return descriptor and inode of the connection with the client; None where there is none."""
        for descriptor, connection in accepted(self._own_port):
            with suppress(OSError):  # closed meanwhile
                address, port, *_ = connection.getpeername()
                if (ip_address(address.partition("%")[0]), port) == self._client:
                    return descriptor, inode_of(connection.fileno())
        return None
