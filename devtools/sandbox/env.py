"""What a contract sees while it runs: the ledger's time, the entries, and a place for events.

A call works on an overlay over the state. Only a call that succeeds hands its overlay on; a failed one leaves nothing
but the events it had emitted, which the host reports beside the error.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from ajo.soroban.contract.contract_errors import ContractError
from ajo.soroban.contract.entries import Entry, decode_entry
from ajo.soroban.contract.events import Event
from ajo.soroban.contract.keys import Key

I128_MIN, I128_MAX = -(2**127), 2**127 - 1
U64_MAX = 2**64 - 1
StateKey = tuple[str, Key]
Failure = int | Literal["trap"]


class CallFailed(Exception):
    """The call ends here. `error` is the N of `Error(Contract, #N)`, or "trap" for a failure without a number."""

    def __init__(self, error: Failure) -> None:
        super().__init__(f"Error(Contract, #{error})" if isinstance(error, int) else "trap")
        self.error: Failure = int(error) if isinstance(error, int) else error


def fail(error: ContractError) -> CallFailed:
    return CallFailed(error.value)


def i128(value: int) -> int:
    """The value, if it fits; Rust's checked arithmetic traps otherwise."""
    if not I128_MIN <= value <= I128_MAX:
        raise CallFailed("trap")
    return value


def u64(value: int) -> int:
    if not 0 <= value <= U64_MAX:
        raise CallFailed("trap")
    return value


def encode(contract: str, key: Key, value: Any) -> tuple[bytes, bytes]:
    """LedgerKey and LedgerEntryData bytes of one entry."""
    return key.encode(contract), Entry(contract, key, value).encode()


@dataclass(frozen=True, slots=True)
class Emitted:
    """An event as a transaction carries it: base64 SCVals."""

    contract: str
    topics: tuple[str, ...]
    value: str
    system: bool = False


class State:
    """Committed values, decoded when first asked for. `load` reads an entry's base64 XDR by its LedgerKey bytes."""

    def __init__(self, load: Callable[[bytes], str | None] = lambda _: None) -> None:
        self._load = load
        self._values: dict[StateKey, Any] = {}

    def get(self, contract: str, key: Key) -> Any:
        """The value, or None."""
        found = self._values.get((contract, key))
        if found is None:
            raw = self._load(key.encode(contract))
            if raw is None:
                return None
            found = decode_entry(raw).value
            self._values[contract, key] = found
        return found

    def apply(self, writes: dict[StateKey, Any]) -> None:
        self._values.update(writes)

    def forget(self) -> None:
        """Drop what is decoded: the entries underneath are other ones now."""
        self._values.clear()


@dataclass
class Env:
    """One transaction's view of the ledger. Times are unix seconds."""

    state: State
    contract: str
    timestamp: int
    writes: dict[StateKey, Any] = field(default_factory=dict)
    events: list[Emitted] = field(default_factory=list)

    def read(self, contract: str, key: Key) -> Any:
        found = self.writes.get((contract, key))
        return self.state.get(contract, key) if found is None else found

    def write(self, contract: str, key: Key, value: Any) -> None:
        self.writes[contract, key] = value

    def get(self, key: Key) -> Any:
        """An entry of the Ajo contract, or None."""
        return self.read(self.contract, key)

    def put(self, key: Key, value: Any) -> None:
        self.write(self.contract, key, value)

    def emit(self, event: Event, *, system: bool = False) -> None:
        topics, value = event.encode()
        self.events.append(Emitted(self.contract, topics, value, system))

    def changes(self) -> dict[StateKey, Any]:
        """What differs from the committed state."""
        return {key: value for key, value in self.writes.items() if self.state.get(*key) != value}
