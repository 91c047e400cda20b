"""What a contract sees while it runs: the ledger's time, its entries, who authorized, other contracts, events."""

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from ajo.soroban.contract.codec import SYMBOL, b64
from ajo.soroban.contract.contract_errors import ContractError
from ajo.soroban.contract.entries import Entry, decode_entry
from ajo.soroban.contract.events import Event
from ajo.soroban.contract.keys import Key
from devtools.sandbox.ledger.keys import symbol_vec

if TYPE_CHECKING:
    from devtools.sandbox.machine.machine import Machine

I128_MIN, I128_MAX = -(2**127), 2**127 - 1
U64_MAX = 2**64 - 1
Failure = int | Literal["trap"]


class CallFailed(Exception):
    """The call ends here. `error` is the N of `Error(Contract, #N)`, or "trap" for a failure without a number."""

    def __init__(self, error: Failure | str) -> None:
        super().__init__(f"Error(Contract, #{error})" if isinstance(error, int) else "trap")
        self.error: Failure = int(error) if isinstance(error, int) else "trap"


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


@lru_cache(maxsize=16_384)
def decode(entry: bytes) -> Any:
    """The value in LedgerEntryData. Values are frozen, so that calls may share them."""
    return decode_entry(b64(entry)).value


@dataclass(frozen=True, slots=True)
class Emitted:
    """An event as a transaction carries it: base64 SCVals."""

    contract: str
    topics: tuple[str, ...]
    value: str
    system: bool = False


class Env:
    """One frame's view. Times are unix seconds."""

    def __init__(self, machine: "Machine", contract: str) -> None:
        self._machine = machine
        self.contract = contract
        self.timestamp = machine.info.timestamp

    def get(self, key: Key) -> Any:
        """An entry of the contract, or None."""
        found = self._read(key.scval())
        return None if found is None else decode(found)

    def has(self, key: Key) -> bool:
        return self._read(key.scval()) is not None

    def has_record(self, name: str, *parts: bytes) -> bool:
        """Whether there is an entry that today's contract reads and never writes: `[name, parts…]`."""
        return self._read(symbol_vec(SYMBOL.encode(name), *parts)) is not None

    def put(self, key: Key, value: Any) -> None:
        raw, entry = encode(self.contract, key, value)
        with self._machine.host_function("put_contract_data"):
            self._machine.put_data(self.contract, raw, entry, key.scval())

    def _read(self, key: bytes) -> bytes | None:
        """The contract asks whether there is an entry before it reads it."""
        with self._machine.host_function("has_contract_data"):
            return self._machine.get_data(self.contract, key)

    def emit(self, event: Event, *, system: bool = False) -> None:
        self._machine.emit_event(event, system=system)

    def require_auth(self, address: str) -> None:
        """Raises HostError unless the address has authorized this very call."""
        with self._machine.host_function("require_auth"):
            self._machine.require_auth(address)

    def call(self, contract: str, function: str, *args: bytes) -> bytes:
        """Another contract's function; arguments and result are SCVals. Its failure is the caller's."""
        return self._machine.call(contract, function, list(args))

    def check_code(self, wasm_hash: bytes) -> None:
        """Raises HostError where no such code is installed."""
        with self._machine.host_function("update_current_contract_wasm"):
            self._machine.check_code(wasm_hash)
