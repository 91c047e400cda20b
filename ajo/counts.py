"""Files of prometheus-client's counts that survive a full disk, and a reader that skips broken ones.

The library maps files without reserving their space: the first write that the disk has no space for is SIGBUS, which
ends the process. And one broken file keeps it from reading any.
"""

from __future__ import annotations

import json
import logging
import mmap
import os
import struct
import time
from collections.abc import Iterable
from glob import glob
from pathlib import Path
from typing import Final

from prometheus_client import Metric
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector

log = logging.getLogger(__name__)

INITIAL_SIZE: Final = 2**16  # bytes of a new file
RETRY_INTERVAL: Final = 10.0  # seconds between two attempts to move from memory to the disk
ENTRY_OVERHEAD: Final = 32  # bytes of an entry beside its key, at most
READ_ERRORS: Final = (ValueError, RuntimeError, IndexError, struct.error)  # that reading half a file raises


class CountFile(MmapedDict):
    """The counts of one process: in their file, or in memory for as long as the disk has no space for it."""

    def __init__(self, filename: str, read_mode: bool = False) -> None:
        self._home, self._retry_at = Path(filename), float("inf")
        try:
            self._open()
        except OSError as failure:
            self._positions: dict[str, int] = {}
            self._used = 8
            self._stay_in_memory(failure, INITIAL_SIZE)
            self._m[:4] = struct.pack("i", self._used)

    def _open(self) -> None:
        """Open the file; one that a process of the same name left half written is moved aside. Raise OSError."""
        _reserve(self._home, INITIAL_SIZE)
        try:
            super().__init__(str(self._home))  # type: ignore[no-untyped-call]
            for key in self._positions:
                json.loads(key)
        except READ_ERRORS:
            self.close()  # type: ignore[no-untyped-call]
            self._home.replace(self._home.with_suffix(".broken"))
            log.warning("%s was broken, and is begun anew", self._home)
            _reserve(self._home, INITIAL_SIZE)
            super().__init__(str(self._home))  # type: ignore[no-untyped-call]

    def _init_value(self, key: str) -> None:
        while self._used + len(key.encode()) + ENTRY_OVERHEAD > self._capacity:
            self._move(2 * self._capacity)
        super()._init_value(key)  # type: ignore[no-untyped-call]

    def write_value(self, key: str, value: float, timestamp: float) -> None:
        if time.monotonic() > self._retry_at:
            self._move(self._capacity)
        super().write_value(key, value, timestamp)  # type: ignore[no-untyped-call]

    def _move(self, capacity: int) -> None:
        """Move to a file of `capacity` bytes, or to memory where the disk does not have the space."""
        held, file = self._m[: self._used], self._f
        try:
            _reserve(self._home, capacity)
            self._f = self._home.open("r+b")
        except OSError as failure:
            self._stay_in_memory(failure, capacity)
        else:
            self._retry_at, self._capacity = float("inf"), capacity
            self._m = mmap.mmap(self._f.fileno(), capacity)
        # Another process that reads the file meanwhile finds what it held before: the used length is written last.
        self._m[8 : self._used] = held[8:]
        self._m[:8] = held[:8]
        if file is not None:
            file.close()

    def _stay_in_memory(self, failure: OSError, capacity: int) -> None:
        log.warning("counts are kept in memory for now: %s", failure.strerror)
        self._f, self._m, self._capacity = None, mmap.mmap(-1, capacity), capacity  # type: ignore[assignment]
        self._retry_at = time.monotonic() + RETRY_INTERVAL


def _reserve(path: Path, size: int) -> None:
    """Reserve a file's space on the disk. Raise OSError."""
    with path.open("ab") as file:
        os.posix_fallocate(file.fileno(), 0, max(size, os.fstat(file.fileno()).st_size))


class CountFiles(MultiProcessCollector):
    """The counts of all processes. A file that cannot be read is logged and left out."""

    def collect(self) -> Iterable[Metric]:
        files = [file for file in glob(os.path.join(self._path, "*.db")) if os.path.getsize(file)]
        try:
            return list(self.merge(files))  # type: ignore[no-untyped-call]
        except READ_ERRORS:
            return list(self.merge([file for file in files if self._is_whole(file)]))  # type: ignore[no-untyped-call]

    def _is_whole(self, file: str) -> bool:
        try:
            self.merge([file])  # type: ignore[no-untyped-call]
        except READ_ERRORS as failure:
            log.warning("the counts in %s cannot be read: %s", file, type(failure).__name__)
            return False
        return True
