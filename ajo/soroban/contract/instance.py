"""The contract's own ledger entry, or a token's: its executable and its storage."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from stellar_sdk.xdr import ContractExecutable, SCValType

from ajo.soroban.contract.codec import (
    ADDRESS,
    ANY,
    BOOL,
    SYMBOL,
    U64,
    VEC,
    Codec,
    any_of,
    count_at,
    counted,
    expect,
    tag,
)
from ajo.soroban.contract.structs import Extra, Struct, i128, u32


class InsurancePool(Struct):
    balance: i128
    pending_claims_count: u32
    total_payouts: i128


@dataclass(frozen=True)
class Instance:
    """A contract instance. `wasm_hash` is hex, None for a Stellar Asset Contract.

    Fields that the storage lacks are None, 0 or False. `explicit` names the fields that are stored with that very
    value, so that encoding gives the same entry. `extra` holds unknown storage: key and value, both base64 SCVal.
    """

    wasm_hash: str | None
    admin: str | None = None
    group_counter: int = 0
    paused: bool = False
    claim_counter: int = 0
    insurance_pools: tuple[tuple[str, InsurancePool], ...] = ()
    extra: Extra = ()
    explicit: tuple[str, ...] = ()
    codec: ClassVar[Codec["Instance"]]


_TAG: Final = tag(SCValType.SCV_CONTRACT_INSTANCE)
_EXECUTABLE: Final = any_of(ContractExecutable)
_WASM, _ASSET = b"\0\0\0\0", b"\0\0\0\1"
_SCALARS: Final[dict[bytes, tuple[str, Codec[Any]]]] = {
    SYMBOL.encode("ADMIN"): ("admin", ADDRESS),
    SYMBOL.encode("GCOUNTER"): ("group_counter", U64),
    SYMBOL.encode("PAUSED"): ("paused", BOOL),
    SYMBOL.encode("ICONT"): ("claim_counter", U64),
}
_ABSENT: Final = Instance(None)
_POOL: Final = counted(VEC, [SYMBOL.encode("INSPOOL"), b""])  # what the key of a pool begins with; then the token
_PRESENT: Final = b"\0\0\0\1"
_TEXTS: Final = [tag(each) for each in (SCValType.SCV_SYMBOL, SCValType.SCV_STRING, SCValType.SCV_BYTES)]


def _read(raw: bytes, at: int) -> tuple[Instance, int]:
    executable, at = _EXECUTABLE.read(raw, expect(raw, at, _TAG))
    count, at = count_at(raw, at, _PRESENT) if raw.startswith(_PRESENT, at) else (0, at + 4)
    found: dict[str, Any] = {}
    pools, extra = [], []
    for _ in range(count):
        scval, end = ANY.read(raw, at)
        key, at = raw[at:end], end
        if key in _SCALARS:
            name, codec = _SCALARS[key]
            found[name], at = codec.read(raw, at)
        elif key.startswith(_POOL):
            pool, at = InsurancePool.codec.read(raw, at)
            pools.append((ADDRESS.read(key, len(_POOL))[0], pool))
        else:
            value, at = ANY.read(raw, at)
            extra.append((scval.to_xdr(), value.to_xdr()))
    wasm_hash = executable.wasm_hash.hash.hex() if executable.wasm_hash else None
    explicit = tuple(name for name, value in found.items() if value == getattr(_ABSENT, name))
    return Instance(wasm_hash, **found, insurance_pools=tuple(pools), extra=tuple(extra), explicit=explicit), at


def _encode(instance: Instance) -> bytes:
    executable = _ASSET if instance.wasm_hash is None else _WASM + bytes.fromhex(instance.wasm_hash)
    storage = sorted(_storage(instance), key=lambda item: _host_order(item[0]))
    items = counted(_PRESENT, [key + value for key, value in storage]) if storage else bytes(4)
    return _TAG + executable + items


def _storage(instance: Instance) -> Iterator[tuple[bytes, bytes]]:
    """Yield keys and values as XDR, in no order."""
    for key, (name, codec) in _SCALARS.items():
        value = getattr(instance, name)
        if name in instance.explicit or value != getattr(_ABSENT, name):
            yield key, codec.encode(value)
    for token, pool in instance.insurance_pools:
        yield _POOL + ADDRESS.encode(token), InsurancePool.codec.encode(pool)
    for each in instance.extra:
        key, extra = map(base64.b64decode, each)
        yield key, extra


def _host_order(key: bytes) -> tuple[bytes, Any]:
    """Return the sort key of a map's key: the host orders by type, then by value. Signed numbers are not supported."""
    kind = key[:4]
    if kind == VEC[:4]:
        items = ANY.read(key, 0)[0].vec
        return kind, [_host_order(each.to_xdr_bytes()) for each in (items.sc_vec if items else ())]
    return kind, key[8:] if kind in _TEXTS else key[4:]  # a text without its length


Instance.codec = Codec("contract instance", _read, _encode)
