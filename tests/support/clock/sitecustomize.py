"""Found by a child's Python at its start: its wall clock is off by the seconds that the file CLOCK_FILE holds."""

import datetime
import os
import time
from pathlib import Path

FILE = Path(os.environ["CLOCK_FILE"])
steady = time.time


def off() -> float:
    return float(FILE.read_text() or 0)


class Shifted(datetime.datetime):
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> "Shifted":
        return cls.fromtimestamp(steady() + off(), tz)

    @classmethod
    def utcnow(cls) -> "Shifted":
        return cls.now(datetime.UTC).replace(tzinfo=None)


time.time = lambda: steady() + off()
datetime.datetime = Shifted  # type: ignore[misc]
