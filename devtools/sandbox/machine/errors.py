"""Errors as the host names them: a type and a code, or a contract's own number."""

import struct
from typing import Final

from devtools.sandbox.env import CallFailed

TYPES: Final = ("Contract", "WasmVm", "Context", "Storage", "Object", "Crypto", "Events", "Budget", "Value", "Auth")
CODES: Final = (
    "ArithDomain",
    "IndexBounds",
    "InvalidInput",
    "MissingValue",
    "ExistingValue",
    "ExceededLimit",
    "InvalidAction",
    "InternalError",
    "UnexpectedType",
    "UnexpectedSize",
)
_SCV_ERROR: Final = 2


class HostError(CallFailed):
    """`Error(kind, code)`. `code` is a name of CODES, or the number that a contract gave.

    `function` is the host function in which it was raised, None where a contract's own frame raised it.
    """

    def __init__(self, kind: str, code: str | int) -> None:
        super().__init__(code if isinstance(code, int) else "trap")
        self.kind = kind
        self.code = code
        self.function: str | None = None

    def __str__(self) -> str:
        return f"Error({self.kind}, {f'#{self.code}' if isinstance(self.code, int) else self.code})"

    @property
    def scval(self) -> bytes:
        """SCVal of the error."""
        kind = TYPES.index(self.kind)
        if isinstance(self.code, int):
            return struct.pack(">iiI", _SCV_ERROR, kind, self.code)
        return struct.pack(">iii", _SCV_ERROR, kind, CODES.index(self.code))


class OutOfBudget(HostError):
    """The instructions that a transaction declared are used up; `needed` of them were asked for in all.

    `in_contract`: it happened while a contract's code ran, which then tells of it.
    """

    def __init__(self, needed: int, *, in_contract: bool) -> None:
        super().__init__("Budget", "ExceededLimit")
        self.needed = needed
        self.in_contract = in_contract
        self.is_told = False
