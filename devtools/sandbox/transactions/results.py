"""Results of transactions, as XDR: what the network answers when it refuses one, and what stands in the ledger."""

import hashlib
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from stellar_sdk.xdr import OperationType

from devtools.sandbox.machine.events import Told

_INNER: Final = 0  # opINNER


class Code(IntEnum):
    """TransactionResultCode, by core's names without the `tx`."""

    FEE_BUMP_INNER_SUCCESS = 1
    SUCCESS = 0
    FAILED = -1
    TOO_EARLY = -2
    TOO_LATE = -3
    MISSING_OPERATION = -4
    BAD_SEQ = -5
    BAD_AUTH = -6
    INSUFFICIENT_BALANCE = -7
    NO_ACCOUNT = -8
    INSUFFICIENT_FEE = -9
    BAD_AUTH_EXTRA = -10
    NOT_SUPPORTED = -12
    FEE_BUMP_INNER_FAILED = -13
    BAD_MIN_SEQ_AGE_OR_GAP = -15
    MALFORMED = -16
    SOROBAN_INVALID = -17


class OperationCode(IntEnum):
    """OperationResultCode: why an operation is not even looked at."""

    BAD_AUTH = -1
    NO_ACCOUNT = -2


class HostCode(IntEnum):
    """InvokeHostFunctionResultCode."""

    SUCCESS = 0
    MALFORMED = -1
    TRAPPED = -2
    RESOURCE_LIMIT_EXCEEDED = -3
    ENTRY_ARCHIVED = -4
    INSUFFICIENT_REFUNDABLE_FEE = -5


@dataclass(frozen=True, slots=True)
class Result:
    """`operation`: the one operation's result, where the code is SUCCESS or FAILED.

    `of_wrapper`: of a fee bump itself, not of what it wraps.
    """

    code: Code
    operation: bytes = b""
    of_wrapper: bool = False

    def encode(self, fee: int, inner_hash: bytes | None = None) -> bytes:
        """TransactionResult; of a fee bump with the hash of what it wraps, whose own fee is 0."""
        mine = struct.pack(">i", self.code)
        if self.code in (Code.SUCCESS, Code.FAILED):
            mine += struct.pack(">I", 1) + self.operation
        if inner_hash is None or self.of_wrapper:
            return struct.pack(">q", fee) + mine + bytes(4)
        is_success = self.code == Code.SUCCESS
        outer = Code.FEE_BUMP_INNER_SUCCESS if is_success else Code.FEE_BUMP_INNER_FAILED
        return struct.pack(">qi", fee, outer) + inner_hash + bytes(8) + mine + bytes(4) + bytes(4)


def host_result(code: HostCode, told: bytes = b"") -> bytes:
    """OperationResult of a host function; of one that succeeded with the hash of its result and events."""
    return struct.pack(">iii", _INNER, OperationType.INVOKE_HOST_FUNCTION.value, code) + told


def lifetime_result(kind: OperationType) -> bytes:
    return struct.pack(">iii", _INNER, kind.value, 0)


def operation_refused(code: OperationCode) -> bytes:
    return struct.pack(">i", code)


def success_hash(value: bytes, events: list[Told]) -> bytes:
    """What stands in a successful result: the hash of the return value and the contracts' events."""
    told = struct.pack(">I", len(events)) + b"".join(each.encode() for each in events)
    return hashlib.sha256(value + told).digest()
