"""The host itself: a stack of frames, each a contract's function, over one storage."""

from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from stellar_sdk.xdr import AccountEntry

from ajo.soroban.contract.codec import ADDRESS, BYTES
from ajo.soroban.contract.entries import Instance
from ajo.soroban.contract.events import Event
from ajo.soroban.contract.keys import InstanceKey
from devtools.sandbox.env import CallFailed, decode
from devtools.sandbox.ledger.accounts import decode_account
from devtools.sandbox.ledger.keys import account_key, code_key, data_key, symbol_vec
from devtools.sandbox.machine.authorization import Authorization
from devtools.sandbox.machine.budget import Budget
from devtools.sandbox.machine.errors import HostError, OutOfBudget
from devtools.sandbox.machine.events import (
    CONTRACT,
    SYSTEM,
    Told,
    call_event,
    error_event,
    log_event,
    return_event,
    string,
    symbol,
)
from devtools.sandbox.machine.invocations import Invocation
from devtools.sandbox.machine.storage import Storage

RESERVED: Final = "__"  # what the names of functions begin with that only the host calls
_SYMBOL_LENGTH: Final = 32


@dataclass(frozen=True, slots=True)
class LedgerInfo:
    """The ledger in which a call runs, or seems to: its number, its time (unix seconds), its network."""

    sequence: int
    timestamp: int
    network_id: bytes = bytes(32)
    base_reserve: int = 0  # stroops


@dataclass(frozen=True, slots=True)
class Program:
    """What a contract runs: `run` gives an SCVal or raises CallFailed. `cost` names what starting it takes."""

    run: Callable[["Machine", "Frame"], bytes]
    cost: str

    @property
    def is_wasm(self) -> bool:
        return self.cost != "builtin"


@dataclass(frozen=True, slots=True)
class Frame:
    contract: str
    function: str
    args: list[bytes]
    program: Program

    def invocation(self) -> Invocation:
        return Invocation(self.contract, self.function, tuple(self.args))


Programs = Callable[[str, Instance], Program | None]


class Machine:
    """Runs one host function. `events` are all that was told, in order, also when it failed."""

    def __init__(
        self,
        storage: Storage,
        info: LedgerInfo,
        programs: Programs,
        authorization: Authorization | None = None,
        budget: Budget | None = None,
    ) -> None:
        self.storage = storage
        self.info = info
        self.programs = programs
        self.authorization = authorization or Authorization()
        self.budget = budget or Budget()
        storage.meter = self.budget.charge
        self.frames: list[Frame] = []
        self.events: list[Told] = []

    @property
    def contract(self) -> str | None:
        """The contract on top, None outside of all."""
        return self.frames[-1].contract if self.frames else None

    # -- calls

    def invoke(self, contract: str, fn: str, args: list[bytes]) -> bytes:
        """The call that a transaction makes. Raises HostError."""
        self._check_symbol(fn)
        if fn.startswith(RESERVED):
            words = "can't invoke a reserved function directly"
            raise self.error(HostError("Context", "InvalidAction"), words, symbol(fn))
        return self._run(contract, fn, args)

    def call(self, contract: str, fn: str, args: list[bytes]) -> bytes:
        """A call that a contract makes. Raises HostError."""
        with self.host_function("call"):
            if not contract.startswith("C"):
                raise self.error(HostError("Object", "InvalidInput"), "not a contract address")
            try:
                if any(frame.contract == contract for frame in self.frames):
                    words = "Contract re-entry is not allowed"
                    raise self.error(HostError("Context", "InvalidAction"), words)
                return self._run(contract, fn, args)
            except OutOfBudget:
                raise
            except HostError as error:
                self.error(error, "contract call failed", symbol(fn), symbol_vec(*args))
                raise

    def check_contract(self, contract: str, fn: str, args: list[bytes]) -> bytes:
        """A call of the host's own, as of `__check_auth`."""
        return self._run(contract, fn, args)

    def _run(self, contract: str, fn: str, args: list[bytes]) -> bytes:
        self.events.append(call_event(self.contract, contract, fn, args))
        program = self._program(contract)
        self.budget.charge(program.cost)
        mark = self.storage.mark()
        self.frames.append(Frame(contract, fn, args, program))
        try:
            result = program.run(self, self.frames[-1])
            self.events.append(return_event(contract, fn, result))
        except CallFailed as failed:
            error = self._escalated(failed, fn, is_wasm=program.is_wasm)
            self.storage.back_to(mark)
            raise error from failed
        finally:
            self.authorization.pop(len(self.frames))
            self.frames.pop()
        return result

    def _program(self, contract: str) -> Program:
        entry = self.storage.get(InstanceKey().encode(contract))
        if entry is None:
            words = "trying to get non-existing value for contract instance"
            raise self.error(HostError("Storage", "MissingValue"), words)
        instance = decode(entry)
        if instance.wasm_hash is not None:
            self.storage.get(code_key(instance.wasm_hash))
        program = self.programs(contract, instance)
        if program is None:
            raise self.error(HostError("WasmVm", "InvalidAction"), "the sandbox does not know this contract's code")
        return program

    def _escalated(self, failed: CallFailed, fn: str, *, is_wasm: bool) -> HostError:
        """What a frame's failure becomes outside of it, and what the host tells of that."""
        if isinstance(failed, OutOfBudget):
            if failed.in_contract and is_wasm and not failed.is_told:
                self.error(failed, "VM call trapped: OutOfFuel", symbol(fn))
                failed.is_told = True
            return failed
        if isinstance(failed, HostError):
            if is_wasm and failed.function is not None:
                name, failed.function = failed.function, None
                self.error(failed, f"escalating error to VM trap from failed host function call: {name}")
                data = string("VM call trapped with HostError"), symbol(fn), failed.scval
                self.events.append(log_event(self.contract, *data))
            return failed
        if isinstance(failed.error, int):
            error = HostError("Contract", failed.error)
            self.error(error, "escalating Ok(ScErrorType::Contract) frame-exit to Err")
            return error
        trap = HostError("WasmVm", "InvalidAction")
        self.error(trap, "VM call trapped: UnreachableCodeReached", symbol(fn))
        return trap

    # -- what contracts and the host's own functions use

    @contextmanager
    def host_function(self, name: str) -> Iterator[None]:
        """What fails inside ends the contract that called it."""
        try:
            yield
        except HostError as error:
            error.function = name
            raise

    def error(self, error: HostError, words: str, *data: bytes) -> HostError:
        """Tell of an error, and give it back to be raised."""
        self.events.append(error_event(self.contract, error, string(words), *data))
        return error

    def emit(self, topics: tuple[bytes, ...], data: bytes, *, system: bool = False) -> None:
        self.budget.charge("event")
        self.events.append(Told(SYSTEM if system else CONTRACT, self.contract, topics, data))

    def require_auth(self, address: str) -> None:
        """The contract that called the frame on top authorizes by calling; anybody else must have done so before."""
        if len(self.frames) < 2 or self.frames[-2].contract != address:
            self.authorization.require(self, address)

    def load_account(self, address: str) -> AccountEntry:
        """Raises HostError where there is none."""
        entry = self.storage.get(account_key(address))
        if entry is None:
            words = "trying to get non-existing value for account"
            raise self.error(HostError("Storage", "MissingValue"), words)
        return decode_account(entry)

    def get_data(self, contract: str, key: bytes) -> bytes | None:
        """LedgerEntryData of a contract's own entry, by its key as an SCVal."""
        with self._told_where(contract, key):
            self.budget.charge("entry")
            return self.storage.get(data_key(contract, key))

    def put_data(self, contract: str, key: bytes, entry: bytes, shown: bytes) -> None:
        with self._told_where(contract, shown):
            self.budget.charge("entry")
            self.storage.put(key, entry)

    @contextmanager
    def _told_where(self, contract: str, shown: bytes) -> Iterator[None]:
        try:
            yield
        except OutOfBudget:
            raise
        except HostError as error:
            words = "trying to access contract data key outside of the footprint"
            raise self.error(error, words, ADDRESS.encode(contract), shown) from None

    def emit_event(self, event: Event, *, system: bool = False) -> None:
        topics, value = event.encode()
        self.emit(tuple(b64decode(each) for each in topics), b64decode(value), system=system)

    def check_code(self, wasm_hash: bytes) -> None:
        """Raises HostError where no code of this hash is installed."""
        if self.storage.get(code_key(wasm_hash.hex())) is None:
            words = "Wasm does not exist"
            raise self.error(HostError("Storage", "MissingValue"), words, BYTES.encode(wasm_hash))

    def touch_authorizer(self, address: str) -> None:
        """Read what a check of an address's signature reads first."""
        if address.startswith("G"):
            self.storage.get(account_key(address))
            self.budget.charge("signature")
            return
        entry = self.storage.get(InstanceKey().encode(address))
        instance = None if entry is None else decode(entry)
        if instance is not None and instance.wasm_hash is not None:
            self.storage.get(code_key(instance.wasm_hash))

    def _check_symbol(self, text: str) -> None:
        for character in text.encode(errors="surrogateescape"):
            if not (chr(character).isalnum() and character < 128) and chr(character) != "_":
                words = "byte is not allowed in Symbol"
                raise self.error(HostError("Value", "InvalidInput"), words, b"\0\0\0\3" + character.to_bytes(4, "big"))
        if len(text) > _SYMBOL_LENGTH:
            raise HostError("Value", "InvalidInput")

    def contract_events(self) -> list[Told]:
        """What the network keeps of a call that succeeded."""
        return [each for each in self.events if each.kind in (CONTRACT, SYSTEM)]
