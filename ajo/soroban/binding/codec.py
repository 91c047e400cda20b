"""Contract values ↔ Python: one `Codec` per type of the contract.

Decoding goes through stellar-sdk's XDR classes and raises nothing but `DecodeError`, whatever the bytes are. Encoding
writes the bytes itself: a sweep encodes tens of thousands of keys, and building XDR objects for them costs ten times
as much as the bytes. Numbers are exact ints, addresses strkeys (G… or C…), texts bytes, for the contract's strings
need not be UTF-8.
"""

import base64
import binascii
import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, Final, Generic, TypeVar

from stellar_sdk import StrKey
from stellar_sdk.xdr import Int128Parts, LedgerEntryData, LedgerKey, SCAddress, SCAddressType, SCVal, SCValType

T = TypeVar("T")
X = TypeVar("X", SCVal, LedgerKey, LedgerEntryData)

# What the generated XDR classes raise on garbage: short input, unknown arms, absurd lengths, deep nesting.
GARBAGE: Final = (
    ValueError,
    EOFError,
    TypeError,
    AttributeError,
    AssertionError,
    struct.error,
    OverflowError,
    RecursionError,
    MemoryError,
)
U32_MAX: Final = 2**32 - 1
U64_MAX: Final = 2**64 - 1
I128_MIN: Final = -(2**127)
I128_MAX: Final = 2**127 - 1
_SYMBOL_TEXT: Final = re.compile(rb"[A-Za-z0-9_]{0,32}")


class DecodeError(ValueError):
    """Bytes or a value that are not what the contract writes."""


@dataclass(frozen=True, slots=True)
class Codec(Generic[T]):
    """How one contract type is read and written.

    `decode` takes an SCVal and raises DecodeError when it is of another type; `encode` gives the SCVal's XDR bytes and
    raises ValueError or struct.error for a value out of the type's range.
    """

    name: str
    decode: Callable[[SCVal], T]
    encode: Callable[[T], bytes]


def parse(kind: type[X], text: str) -> X:
    """Read base64 XDR of one kind, complete and without anything after it. Raises DecodeError."""
    try:
        return kind.from_xdr_bytes(base64.b64decode(text, validate=True))
    except GARBAGE as error:
        raise DecodeError(f"not a {kind.__name__}: {error or type(error).__name__}") from error


def b64(raw: bytes) -> str:
    return binascii.b2a_base64(raw, newline=False).decode("ascii")


def tag(kind: SCValType) -> bytes:
    return struct.pack(">i", kind.value)


def opaque(raw: bytes) -> bytes:
    """Length, bytes, and padding to four, as XDR writes strings and byte arrays."""
    return struct.pack(">I", len(raw)) + raw + b"\0" * (-len(raw) % 4)


def arm(value: SCVal, kind: SCValType, name: str) -> Any:
    """The named arm of a value that must be of this kind."""
    if value.type != kind:
        raise DecodeError(f"expected {kind.name}, found {value.type.name}")
    found = getattr(value, name)
    if found is None:
        raise DecodeError(f"{kind.name} without a value")
    return found


# 65,536 addresses of 56 characters: some 10 MB at most, and the same members come again and again.
@lru_cache(maxsize=65_536)
def encode_address(address: str) -> bytes:
    """ScAddress bytes of a G… or C… strkey. Raises ValueError for any other text."""
    if address.startswith("C"):
        return b"\0\0\0\1" + StrKey.decode_contract(address)
    return b"\0\0\0\0\0\0\0\0" + StrKey.decode_ed25519_public_key(address)


@lru_cache(maxsize=65_536)
def _strkey(contract: bool, raw: bytes) -> str:
    return StrKey.encode_contract(raw) if contract else StrKey.encode_ed25519_public_key(raw)


def decode_address(address: SCAddress) -> str:
    """The strkey of an account or a contract; other kinds (muxed, pools, claimable balances) cannot be members."""
    if address.type == SCAddressType.SC_ADDRESS_TYPE_CONTRACT and address.contract_id is not None:
        return _strkey(True, address.contract_id.contract_id.hash)
    if address.type == SCAddressType.SC_ADDRESS_TYPE_ACCOUNT and address.account_id is not None:
        ed25519 = address.account_id.account_id.ed25519
        if ed25519 is not None:
            return _strkey(False, ed25519.uint256)
    raise DecodeError(f"an address of kind {address.type.name}")


def _i128(value: SCVal) -> int:
    parts: Int128Parts = arm(value, SCValType.SCV_I128, "i128")
    return int(parts.hi.int64 << 64 | parts.lo.uint64)


def _symbol(value: SCVal) -> str:
    raw = arm(value, SCValType.SCV_SYMBOL, "sym").sc_symbol
    if not _SYMBOL_TEXT.fullmatch(raw):
        raise DecodeError("a symbol that the host does not allow")
    return str(raw, "ascii")


def _void(value: SCVal) -> None:
    if value.type != SCValType.SCV_VOID:
        raise DecodeError(f"expected SCV_VOID, found {value.type.name}")


_BOOL, _U32, _U64, _I128 = (
    tag(kind) for kind in (SCValType.SCV_BOOL, SCValType.SCV_U32, SCValType.SCV_U64, SCValType.SCV_I128)
)
_BYTES, _STRING, _SYMBOL = (tag(kind) for kind in (SCValType.SCV_BYTES, SCValType.SCV_STRING, SCValType.SCV_SYMBOL))
_ADDRESS, _VEC, _MAP = (tag(kind) for kind in (SCValType.SCV_ADDRESS, SCValType.SCV_VEC, SCValType.SCV_MAP))
_PRESENT: Final = b"\0\0\0\1"


def encode_symbol(text: str) -> bytes:
    return _SYMBOL + opaque(text.encode("ascii"))


def encode_vec(items: Sequence[bytes]) -> bytes:
    """A vector of values that are XDR already."""
    return _VEC + _PRESENT + struct.pack(">I", len(items)) + b"".join(items)


def decode_vec(value: SCVal) -> list[SCVal]:
    return list(arm(value, SCValType.SCV_VEC, "vec").sc_vec)


def encode_map(items: Sequence[tuple[bytes, bytes]]) -> bytes:
    """A map of keys and values that are XDR already, in the host's order."""
    return _MAP + _PRESENT + struct.pack(">I", len(items)) + b"".join(key + value for key, value in items)


VOID: Final[Codec[None]] = Codec("void", _void, lambda _: tag(SCValType.SCV_VOID))
BOOL: Final[Codec[bool]] = Codec(
    "bool",
    lambda value: bool(arm(value, SCValType.SCV_BOOL, "b")),
    lambda value: _BOOL + struct.pack(">I", value),
)
U32: Final[Codec[int]] = Codec(
    "u32", lambda value: int(arm(value, SCValType.SCV_U32, "u32").uint32), lambda value: _U32 + struct.pack(">I", value)
)
U64: Final[Codec[int]] = Codec(
    "u64", lambda value: int(arm(value, SCValType.SCV_U64, "u64").uint64), lambda value: _U64 + struct.pack(">Q", value)
)
I128: Final[Codec[int]] = Codec("i128", _i128, lambda value: _I128 + struct.pack(">qQ", value >> 64, value & U64_MAX))
ADDRESS: Final[Codec[str]] = Codec(
    "address",
    lambda value: decode_address(arm(value, SCValType.SCV_ADDRESS, "address")),
    lambda value: _ADDRESS + encode_address(value),
)
STRING: Final[Codec[bytes]] = Codec(
    "string",
    lambda value: bytes(arm(value, SCValType.SCV_STRING, "str").sc_string),
    lambda value: _STRING + opaque(value),
)
BYTES: Final[Codec[bytes]] = Codec(
    "bytes",
    lambda value: bytes(arm(value, SCValType.SCV_BYTES, "bytes").sc_bytes),
    lambda value: _BYTES + opaque(value),
)
SYMBOL: Final[Codec[str]] = Codec("symbol", _symbol, encode_symbol)


def vec_of(item: Codec[T]) -> Codec[tuple[T, ...]]:
    """A vector whose items are all of one type."""
    return Codec(
        f"vec<{item.name}>",
        lambda value: tuple(item.decode(each) for each in decode_vec(value)),
        lambda values: encode_vec([item.encode(each) for each in values]),
    )


def tuple_of(*items: Codec[Any]) -> Codec[tuple[Any, ...]]:
    """A vector with one type for each place, as Rust's tuples are written."""

    def decode(value: SCVal) -> tuple[Any, ...]:
        found = decode_vec(value)
        if len(found) != len(items):
            raise DecodeError(f"expected {len(items)} values, found {len(found)}")
        return tuple(item.decode(each) for item, each in zip(items, found, strict=True))

    def encode(values: tuple[Any, ...]) -> bytes:
        return encode_vec([item.encode(each) for item, each in zip(items, values, strict=True)])

    return Codec(f"({', '.join(item.name for item in items)})", decode, encode)


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a struct: the attribute, the codec, and the symbol where it differs from the attribute."""

    attribute: str
    codec: Codec[Any]
    symbol: str = ""
    required: bool = True


def struct_of(kind: type[T], *specs: Field) -> Codec[T]:
    """A map with symbols as keys ↔ a dataclass.

    Fields that are not required are None where the map lacks them. Fields nobody knows go, as name and base64 SCVal,
    into the attribute `extra` where the dataclass has one, else they are refused.
    """
    by_symbol = {spec.symbol or spec.attribute: spec for spec in specs}
    keys = {symbol: encode_symbol(symbol) for symbol in by_symbol}
    takes_extra = "extra" in {each.name for each in fields(kind)}  # type: ignore[arg-type]

    def decode(value: SCVal) -> T:
        found: dict[str, Any] = {}
        extra: list[tuple[str, str]] = []
        for entry in arm(value, SCValType.SCV_MAP, "map").sc_map:
            symbol = _symbol(entry.key)
            spec = by_symbol.get(symbol)
            if spec is not None:
                found[spec.attribute] = spec.codec.decode(entry.val)
            elif takes_extra:
                extra.append((symbol, entry.val.to_xdr()))
            else:
                raise DecodeError(f"{kind.__name__} has no field {symbol}")
        missing = [spec.attribute for spec in specs if spec.required and spec.attribute not in found]
        if missing:
            raise DecodeError(f"{kind.__name__} lacks {', '.join(missing)}")
        if takes_extra:
            found["extra"] = tuple(extra)
        return kind(**found)

    def encode(value: T) -> bytes:
        items = {
            symbol: (keys[symbol], spec.codec.encode(getattr(value, spec.attribute)))
            for symbol, spec in by_symbol.items()
            if spec.required or getattr(value, spec.attribute) is not None
        }
        if takes_extra:
            for symbol, raw in value.extra:  # type: ignore[attr-defined]
                items[symbol] = (encode_symbol(symbol), base64.b64decode(raw))
        return encode_map([items[symbol] for symbol in sorted(items)])

    return Codec(kind.__name__, decode, encode)
