"""Finds the connections that clients have with this process, among its files: granian does not show them."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator


def accepted(port: int) -> Iterator[tuple[int, socket.socket]]:
    """Yield each client connection with our port: its descriptor, and a duplicate that is closed with the next step.

    Use the duplicate: the descriptor may become another's at any time.
    """
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
            if _is_accepted(connection, port):
                yield int(name), connection


def inode_of(descriptor: int) -> int:
    """Return what tells an open file from every other one. Raise OSError where nothing is open there."""
    return os.fstat(descriptor).st_ino


def _is_accepted(connection: socket.socket, port: int) -> bool:
    """Return whether it is a TCP connection that a client has with our port."""
    if connection.family not in (socket.AF_INET, socket.AF_INET6) or connection.type != socket.SOCK_STREAM:
        return False
    try:
        connection.getpeername()
    except OSError:  # the listening socket, or one whose client is gone
        return False
    return bool(connection.getsockname()[1] == port)
