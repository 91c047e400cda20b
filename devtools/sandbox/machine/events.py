"""What a call tells while it runs: contracts' events, and the host's own diagnostics among them."""

import base64
import struct
from dataclasses import dataclass
from typing import Final

from ajo.soroban.contract.codec import BYTES, SYMBOL, VOID, encode_address
from devtools.sandbox.env import Emitted
from devtools.sandbox.ledger.keys import KEY_SIZE, symbol_vec
from devtools.sandbox.machine.errors import HostError

SYSTEM, CONTRACT, DIAGNOSTIC = 0, 1, 2
_VOID: Final = VOID.encode(None)


@dataclass(frozen=True, slots=True)
class Told:
    """One event: of which kind, of which contract (None: the host itself), SCVals as bytes."""

    kind: int
    contract: str | None
    topics: tuple[bytes, ...]
    data: bytes

    def encode(self) -> bytes:
        """ContractEvent."""
        head = bytes(8)
        if self.contract is not None:
            head = struct.pack(">iI", 0, 1) + encode_address(self.contract)[-KEY_SIZE:]
        body = struct.pack(">iiI", self.kind, 0, len(self.topics)) + b"".join(self.topics)
        return head + body + self.data

    def diagnostic(self, *, successful: bool) -> bytes:
        """DiagnosticEvent."""
        return struct.pack(">I", successful) + self.encode()

    @property
    def emitted(self) -> Emitted:
        topics = tuple(base64.b64encode(each).decode() for each in self.topics)
        return Emitted(self.contract or "", topics, base64.b64encode(self.data).decode(), self.kind == SYSTEM)


def values(args: tuple[bytes, ...] | list[bytes]) -> bytes:
    """Arguments as the host shows them: void for none, the value for one, a vector for several."""
    if not args:
        return _VOID
    return args[0] if len(args) == 1 else symbol_vec(*args)


def call_event(caller: str | None, contract: str, fn: str, args: list[bytes]) -> Told:
    topics = (SYMBOL.encode("fn_call"), BYTES.encode(encode_address(contract)[-KEY_SIZE:]), symbol(fn))
    return Told(DIAGNOSTIC, caller, topics, values(args))


def return_event(contract: str, fn: str, result: bytes) -> Told:
    return Told(DIAGNOSTIC, contract, (SYMBOL.encode("fn_return"), symbol(fn)), result)


def error_event(contract: str | None, error: HostError, *data: bytes) -> Told:
    return Told(DIAGNOSTIC, contract, (SYMBOL.encode("error"), error.scval), values(list(data)))


def log_event(contract: str | None, *data: bytes) -> Told:
    return Told(DIAGNOSTIC, contract, (SYMBOL.encode("log"),), values(list(data)))


def failed_event(error: HostError) -> Told:
    """What the core node adds when the host's function failed."""
    return Told(DIAGNOSTIC, None, (SYMBOL.encode("host_fn_failed"), error.scval), _VOID)


def metric_event(name: str, value: int) -> Told:
    topics = (SYMBOL.encode("core_metrics"), SYMBOL.encode(name))
    return Told(DIAGNOSTIC, None, topics, struct.pack(">iQ", 5, value))


def symbol(text: str) -> bytes:
    return SYMBOL.encode(text)


def string(text: str) -> bytes:
    raw = text.encode()
    return struct.pack(">iI", 14, len(raw)) + raw + b"\0" * (-len(raw) % 4)
