"""Contract values ↔ Python: one `Codec` per type of the contract (docs/decisions/0002-own-codec.md).

Numbers are exact ints, addresses strkeys (G… or C…), texts bytes: the contract's strings need not be UTF-8.
Codecs read and write the bytes in place: with stellar-sdk's XDR objects in between, the keys of a sweep and the
events of a history take several times as long. Values of unknown types (`ANY`) are left to stellar-sdk.
"""

import binascii
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import repeat
from typing import Any, Final, Generic, TypeVar

from stellar_sdk import StrKey
from stellar_sdk.xdr import ContractExecutable, LedgerKey, SCVal, SCValType
from xdrlib3 import Unpacker

T = TypeVar("T")
X = TypeVar("X", SCVal, LedgerKey, ContractExecutable)

# Codecs and the generated XDR classes raise these on garbage: short input, unknown arms, absurd lengths, deep nesting
XDR_FAULTS: Final = (
    ValueError,
    EOFError,
    TypeError,
    AttributeError,
    AssertionError,
    OverflowError,
    RecursionError,
    MemoryError,
)
_SYMBOL_TEXT: Final = re.compile(rb"[A-Za-z0-9_]{0,32}")
# The heads of the two kinds of ScAddress that can be members
_ACCOUNT: Final = bytes(8)
_CONTRACT: Final = b"\0\0\0\1"


class DecodeError(ValueError):
    """Bytes or a value that are not what the contract writes."""


@dataclass(frozen=True, slots=True)
class Codec(Generic[T]):
    """The XDR form of one type.

    `read` returns the value at an offset in the bytes, and the offset after it. It may raise any of XDR_FAULTS on
    garbage, and need not detect all that is wrong: `from_xdr` does. `encode` raises ValueError or OverflowError for a
    value out of range.
    """

    name: str
    read: Callable[[bytes, int], tuple[T, int]]
    encode: Callable[[T], bytes]

    def to_xdr(self, value: T) -> str:
        """Encode to base64 XDR. Raises ValueError or OverflowError for a value out of range."""
        return b64(self.encode(value))

    def from_xdr(self, text: str) -> T:
        """Decode base64 XDR, all of it. Raises DecodeError and nothing else.

        Text that would be encoded differently is refused: trailing bytes, maps out of order, padding other than zero.
        """
        try:
            value, _ = self.read(binascii.a2b_base64(text), 0)
            is_same = self.to_xdr(value) == text
        except XDR_FAULTS as error:
            raise DecodeError(f"not a {self.name}: {str(error) or type(error).__name__}") from error
        if not is_same:
            raise DecodeError(f"a {self.name} that is not written as the contract writes it")
        return value

    def map(self, name: str, into: Callable[[T], Any], out: Callable[[Any], T]) -> "Codec[Any]":
        """Return a codec of the same bytes with another Python value, converted by `into` and back by `out`."""

        def read(raw: bytes, at: int) -> tuple[Any, int]:
            value, at = self.read(raw, at)
            return into(value), at

        return Codec(name, read, lambda value: self.encode(out(value)))


def b64(raw: bytes) -> str:
    """Encode bytes in base64, without a line break."""
    return binascii.b2a_base64(raw, newline=False).decode("ascii")


def any_of(kind: type[X]) -> Codec[X]:
    """Return a codec of any value of an XDR type, as stellar-sdk's object."""

    def read(raw: bytes, at: int) -> tuple[X, int]:
        unpacker = Unpacker(raw)
        unpacker.set_position(at)
        return kind.unpack(unpacker), unpacker.get_position()

    return Codec(kind.__name__, read, lambda value: value.to_xdr_bytes())


def tag(kind: SCValType) -> bytes:
    """Return the four bytes that an SCVal of a kind begins with."""
    return kind.value.to_bytes(4, "big")


def expect(raw: bytes, at: int, head: bytes) -> int:
    """Return the offset after `head`, whose first four bytes are a tag. Raises DecodeError where it is not at `at`."""
    end = at + len(head)
    if raw[at:end] != head:
        expected, found = (SCValType(int.from_bytes(each[:4], "big")).name for each in (head, raw[at:end] or b"\xff"))
        raise DecodeError(f"expected {expected}, found {found}")
    return end


def opaque(raw: bytes) -> bytes:
    """Encode as XDR writes strings and byte arrays: length, bytes, and zeros up to a multiple of four."""
    return len(raw).to_bytes(4, "big") + raw + b"\0" * (-len(raw) % 4)


def _opaque(name: str, kind: SCValType) -> Codec[bytes]:
    head = tag(kind)

    def read(raw: bytes, at: int) -> tuple[bytes, int]:
        size, start = count_at(raw, at, head)
        end = start + size
        return raw[start:end], end + -size % 4

    return Codec(name, read, lambda value: head + opaque(value))


def _integer(name: str, kind: SCValType, size: int, *, signed: bool = False) -> Codec[int]:
    head = tag(kind)

    def read(raw: bytes, at: int) -> tuple[int, int]:
        at = expect(raw, at, head)
        end = at + size
        return int.from_bytes(raw[at:end], "big", signed=signed), end

    return Codec(name, read, lambda value: head + value.to_bytes(size, "big", signed=signed))


def _symbol(raw: bytes) -> str:
    if not _SYMBOL_TEXT.fullmatch(raw):
        raise DecodeError("a symbol that the host does not allow")
    return raw.decode("ascii")


# 65,536 addresses of 56 characters take 10 MB at most; the same members recur.
@lru_cache(maxsize=65_536)
def encode_address(address: str) -> bytes:
    """Encode a G… or C… strkey as ScAddress. Raises ValueError for any other text."""
    if address.startswith("C"):
        return _CONTRACT + StrKey.decode_contract(address)
    return _ACCOUNT + StrKey.decode_ed25519_public_key(address)


def read_address(raw: bytes, at: int) -> tuple[str, int]:
    """Decode the ScAddress at an offset to its strkey. Raises DecodeError for an address of another kind."""
    head = _CONTRACT if raw[at : at + 4] == _CONTRACT else _ACCOUNT
    start = at + len(head)
    if raw[at:start] != head:
        raise DecodeError("an address of neither an account nor a contract")
    return _strkey(head, raw[start : start + 32]), start + 32


@lru_cache(maxsize=65_536)
def _strkey(head: bytes, raw: bytes) -> str:
    return StrKey.encode_contract(raw) if head == _CONTRACT else StrKey.encode_ed25519_public_key(raw)


_VOID: Final = tag(SCValType.SCV_VOID)
_ADDRESS: Final = tag(SCValType.SCV_ADDRESS)
# Vectors and maps are pointers in XDR, and the host writes no empty ones.
VEC: Final = tag(SCValType.SCV_VEC) + b"\0\0\0\1"
MAP: Final = tag(SCValType.SCV_MAP) + b"\0\0\0\1"

ANY: Final[Codec[SCVal]] = any_of(SCVal)
VOID: Final[Codec[None]] = Codec("void", lambda raw, at: (None, expect(raw, at, _VOID)), lambda _: _VOID)
U32: Final = _integer("u32", SCValType.SCV_U32, 4)
U64: Final = _integer("u64", SCValType.SCV_U64, 8)
I128: Final = _integer("i128", SCValType.SCV_I128, 16, signed=True)
BOOL: Final[Codec[bool]] = _integer("bool", SCValType.SCV_BOOL, 4).map("bool", bool, bool)
BYTES: Final = _opaque("bytes", SCValType.SCV_BYTES)
STRING: Final = _opaque("string", SCValType.SCV_STRING)
SYMBOL: Final[Codec[str]] = _opaque("symbol", SCValType.SCV_SYMBOL).map("symbol", _symbol, str.encode)
ADDRESS: Final[Codec[str]] = Codec(
    "address",
    lambda raw, at: read_address(raw, expect(raw, at, _ADDRESS)),
    lambda each: _ADDRESS + encode_address(each),
)


def counted(head: bytes, items: Sequence[bytes]) -> bytes:
    """Encode a vector of values, or a map of keys and values, from items that are XDR already, in the host's order."""
    return head + len(items).to_bytes(4, "big") + b"".join(items)


def count_at(raw: bytes, at: int, head: bytes) -> tuple[int, int]:
    """Return the count of items or bytes that stands after `head`, and the offset after it."""
    at = expect(raw, at, head)
    return int.from_bytes(raw[at : at + 4], "big"), at + 4


def read_all(raw: bytes, at: int, codecs: Iterable[Codec[T]]) -> tuple[tuple[T, ...], int]:
    """Decode one value after the other. Returns them and the offset after the last."""
    found = []
    for codec in codecs:
        value, at = codec.read(raw, at)
        found.append(value)
    return tuple(found), at


def vec_of(item: Codec[T]) -> Codec[tuple[T, ...]]:
    """Return a codec of vectors whose items are all of one type."""

    def read(raw: bytes, at: int) -> tuple[tuple[T, ...], int]:
        count, at = count_at(raw, at, VEC)
        return read_all(raw, at, repeat(item, count))

    return Codec(f"vec<{item.name}>", read, lambda values: counted(VEC, [item.encode(each) for each in values]))


def tuple_of(*items: Codec[Any]) -> Codec[tuple[Any, ...]]:
    """Return a codec of vectors with one type for each position, as Rust's tuples are written."""

    def read(raw: bytes, at: int) -> tuple[tuple[Any, ...], int]:
        count, at = count_at(raw, at, VEC)
        if count != len(items):
            raise DecodeError(f"expected {len(items)} values, found {count}")
        return read_all(raw, at, items)

    def encode(values: tuple[Any, ...]) -> bytes:
        return counted(VEC, [item.encode(each) for item, each in zip(items, values, strict=True)])

    return Codec(f"({', '.join(item.name for item in items)})", read, encode)
