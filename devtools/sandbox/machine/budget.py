"""How many instructions a call takes: an estimate, fitted to what the real host counted for the recorded calls."""

from dataclasses import dataclass
from typing import Final

from devtools.sandbox.machine.errors import OutOfBudget

# Instructions. A contract's code is instantiated at once, and what it does is counted as it goes.
COSTS: Final = {
    "ajo": 3_250_000,
    "router": 700_000,
    "wallet": 252_000,
    "builtin": 30_000,
    "load": 39_900,  # an entry's first use
    "byte": 62,
    "entry": 30_000,  # a contract's look at its own entries
    "write": 15_000,
    "event": 60_000,
    "signature": 331_000,
}
_AT_ONCE: Final = ("ajo", "router", "wallet")
MARGIN: Final = (104, 50_000)  # what a simulation adds: 4 %, at least so many instructions


@dataclass(slots=True)
class Budget:
    """Counts up to a limit, None for none."""

    limit: int | None = None
    used: int = 0

    def charge(self, what: str, times: int = 1) -> None:
        """Raises OutOfBudget."""
        self.used += COSTS[what] * times
        if self.limit is not None and self.used > self.limit:
            raise OutOfBudget(self.used, in_contract=what not in _AT_ONCE)

    @property
    def declared(self) -> int:
        """What a simulation says is enough."""
        percent, least = MARGIN
        return max(self.used * percent // 100, self.used + least)
