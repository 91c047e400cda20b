"""Contract values ↔ Python: one `Codec` per type of the contract.

Numbers are exact ints, addresses strkeys (G… or C…), texts bytes, for the contract's strings need not be UTF-8.
Codecs read and write the bytes themselves: with stellar-sdk's XDR objects in between, the keys of a sweep and the
events of a history take several times as long. What nobody here knows (`ANY`) is left to stellar-sdk.
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

# What codecs and the generated XDR classes raise on garbage: short input, unknown arms, absurd lengths, deep nesting
_FAULTS = (ValueError, EOFError, TypeError, AttributeError, AssertionError, OverflowError, RecursionError, MemoryError)
_SYMBOL_TEXT: Final = re.compile(rb"[A-Za-z0-9_]{0,32}")
# The heads of the two kinds of ScAddress that can be members
_ACCOUNT: Final = bytes(8)
_CONTRACT: Final = b"\0\0\0\1"


class DecodeError(ValueError):
    """Bytes or a value that are not what the contract writes."""


@dataclass(frozen=True, slots=True)
class Codec(Generic[T]):
    """How one type is written in XDR.

    `read` gives the value at a place in the bytes, and the place after it. It may raise anything that garbage leads
    to, and need not see all that is wrong: `from_xdr` does. `encode` raises ValueError or OverflowError for a value
    out of range.
    """

    name: str
    read: Callable[[bytes, int], tuple[T, int]]
    encode: Callable[[T], bytes]

    def to_xdr(self, value: T) -> str:
        """Base64 XDR."""
        return b64(self.encode(value))

    def from_xdr(self, text: str) -> T:
        """The value in base64 XDR, complete and with nothing behind it. Raises DecodeError and nothing else.

        What is returned is written as the very same text: maps out of order or padding that is not zero are refused.
        """
        try:
            value, _ = self.read(binascii.a2b_base64(text), 0)
            is_same = self.to_xdr(value) == text
        except _FAULTS as error:
            raise DecodeError(f"not a {self.name}: {str(error) or type(error).__name__}") from error
        if not is_same:
            raise DecodeError(f"a {self.name} that is not written as the contract writes it")
        return value

    def map(self, name: str, into: Callable[[T], Any], out: Callable[[Any], T]) -> "Codec[Any]":
        """The same bytes as another value in Python."""

        def read(raw: bytes, at: int) -> tuple[Any, int]:
            value, at = self.read(raw, at)
            return into(value), at

        return Codec(name, read, lambda value: self.encode(out(value)))


def b64(raw: bytes) -> str:
    return binascii.b2a_base64(raw, newline=False).decode("ascii")


def any_of(kind: type[X]) -> Codec[X]:
    """Whatever an XDR type can hold, as stellar-sdk's object."""

    def read(raw: bytes, at: int) -> tuple[X, int]:
        unpacker = Unpacker(raw)
        unpacker.set_position(at)
        return kind.unpack(unpacker), unpacker.get_position()

    return Codec(kind.__name__, read, lambda value: value.to_xdr_bytes())


def tag(kind: SCValType) -> bytes:
    """What an SCVal of a kind begins with."""
    return kind.value.to_bytes(4, "big")


def expect(raw: bytes, at: int, head: bytes) -> int:
    """The place after a head that must stand here. Its first four bytes are a tag."""
    end = at + len(head)
    if raw[at:end] != head:
        expected, found = (SCValType(int.from_bytes(each[:4], "big")).name for each in (head, raw[at:end] or b"\xff"))
        raise DecodeError(f"expected {expected}, found {found}")
    return end


def opaque(raw: bytes) -> bytes:
    """Length, bytes, and padding to four, as XDR writes strings and byte arrays."""
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


# 65,536 addresses of 56 characters: some 10 MB at most, and the same members come again and again.
@lru_cache(maxsize=65_536)
def encode_address(address: str) -> bytes:
    """ScAddress bytes of a G… or C… strkey. Raises ValueError for any other text."""
    if address.startswith("C"):
        return _CONTRACT + StrKey.decode_contract(address)
    return _ACCOUNT + StrKey.decode_ed25519_public_key(address)


def read_address(raw: bytes, at: int) -> tuple[str, int]:
    """The strkey of an ScAddress."""
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
    """A vector of values, or a map of keys and their values, that are XDR already and in the host's order."""
    return head + len(items).to_bytes(4, "big") + b"".join(items)


def count_at(raw: bytes, at: int, head: bytes) -> tuple[int, int]:
    """The number that stands after a head, and the place after it: how many items or bytes follow."""
    at = expect(raw, at, head)
    return int.from_bytes(raw[at : at + 4], "big"), at + 4


def read_all(raw: bytes, at: int, codecs: Iterable[Codec[T]]) -> tuple[tuple[T, ...], int]:
    """One value after the other."""
    found = []
    for codec in codecs:
        value, at = codec.read(raw, at)
        found.append(value)
    return tuple(found), at


def vec_of(item: Codec[T]) -> Codec[tuple[T, ...]]:
    """A vector whose items are all of one type."""

    def read(raw: bytes, at: int) -> tuple[tuple[T, ...], int]:
        count, at = count_at(raw, at, VEC)
        return read_all(raw, at, repeat(item, count))

    return Codec(f"vec<{item.name}>", read, lambda values: counted(VEC, [item.encode(each) for each in values]))


def tuple_of(*items: Codec[Any]) -> Codec[tuple[Any, ...]]:
    """A vector with one type for each place, as Rust's tuples are written."""

    def read(raw: bytes, at: int) -> tuple[tuple[Any, ...], int]:
        count, at = count_at(raw, at, VEC)
        if count != len(items):
            raise DecodeError(f"expected {len(items)} values, found {count}")
        return read_all(raw, at, items)

    def encode(values: tuple[Any, ...]) -> bytes:
        return counted(VEC, [item.encode(each) for item, each in zip(items, values, strict=True)])

    return Codec(f"({', '.join(item.name for item in items)})", read, encode)
