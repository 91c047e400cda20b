"""The contract's own ledger entry: its executable and its storage; and a token's, for its name and decimals."""

import base64
import struct
from dataclasses import dataclass
from typing import Any, Final

from stellar_sdk.xdr import ContractExecutableType, SCContractInstance, SCVal, SCValType

from ajo.soroban.binding.codec import (
    ADDRESS,
    BOOL,
    STRING,
    SYMBOL,
    U32,
    U64,
    Codec,
    DecodeError,
    Field,
    arm,
    decode_vec,
    encode_symbol,
    encode_vec,
    struct_of,
    tag,
)
from ajo.soroban.binding.order import sort_key
from ajo.soroban.binding.structs import INSURANCE_POOL, Extra, InsurancePool

_POOL: Final = "INSPOOL"
_SCALARS: Final[dict[str, Codec[Any]]] = {"ADMIN": ADDRESS, "GCOUNTER": U64, "PAUSED": BOOL, "ICONT": U64}
_DEFAULTS: Final[dict[str, Any]] = {"ADMIN": None, "GCOUNTER": 0, "PAUSED": False, "ICONT": 0}


@dataclass(frozen=True, slots=True)
class Instance:
    """A contract instance. `wasm_hash` is hex, None for a Stellar Asset Contract.

    What the storage lacks reads as None, 0 or False; `explicit` names what is stored with that very value, so that the
    entry can be written again as it was. `extra` has the storage nobody knows: key and value, both base64 SCVal.
    """

    wasm_hash: str | None
    admin: str | None = None
    group_counter: int = 0
    paused: bool = False
    claim_counter: int = 0
    insurance_pools: tuple[tuple[str, InsurancePool], ...] = ()
    extra: Extra = ()
    explicit: tuple[str, ...] = ()
    has_storage: bool = True


@dataclass(frozen=True, slots=True)
class TokenMetadata:
    """What a token says of itself; `decimals` is the number of places of its unit."""

    name: str
    symbol: str
    decimals: int
    is_asset_contract: bool


@dataclass(frozen=True, slots=True)
class TokenText:
    """The METADATA entry of a token's instance storage."""

    decimal: int
    name: bytes
    symbol: bytes
    extra: Extra = ()


TOKEN_TEXT: Final = struct_of(TokenText, Field("decimal", U32), Field("name", STRING), Field("symbol", STRING))


def _pool_token(key: SCVal) -> str | None:
    """The token of an `[INSPOOL, token]` key."""
    if key.type != SCValType.SCV_VEC:
        return None
    parts = decode_vec(key)
    if len(parts) != 2 or parts[0].type != SCValType.SCV_SYMBOL or SYMBOL.decode(parts[0]) != _POOL:
        return None
    return ADDRESS.decode(parts[1])


def decode_instance(value: SCVal) -> Instance:
    """The instance in an SCVal. Raises DecodeError, also where a known entry has a value of another type."""
    instance: SCContractInstance = arm(value, SCValType.SCV_CONTRACT_INSTANCE, "instance")
    scalars = dict(_DEFAULTS)
    pools: list[tuple[str, InsurancePool]] = []
    extra: list[tuple[str, str]] = []
    seen: list[str] = []
    for entry in instance.storage.sc_map if instance.storage is not None else ():
        symbol = SYMBOL.decode(entry.key) if entry.key.type == SCValType.SCV_SYMBOL else ""
        token = _pool_token(entry.key)
        if symbol in _SCALARS:
            scalars[symbol] = _SCALARS[symbol].decode(entry.val)
            seen.append(symbol)
        elif token is not None:
            pools.append((token, INSURANCE_POOL.decode(entry.val)))
        else:
            extra.append((entry.key.to_xdr(), entry.val.to_xdr()))
    return Instance(
        wasm_hash=_wasm_hash(instance),
        admin=scalars["ADMIN"],
        group_counter=scalars["GCOUNTER"],
        paused=scalars["PAUSED"],
        claim_counter=scalars["ICONT"],
        insurance_pools=tuple(pools),
        extra=tuple(extra),
        explicit=tuple(symbol for symbol in seen if scalars[symbol] == _DEFAULTS[symbol]),
        has_storage=instance.storage is not None,
    )


def _wasm_hash(instance: SCContractInstance) -> str | None:
    kind = instance.executable.type
    if kind == ContractExecutableType.CONTRACT_EXECUTABLE_STELLAR_ASSET:
        return None
    if kind == ContractExecutableType.CONTRACT_EXECUTABLE_WASM and instance.executable.wasm_hash is not None:
        return instance.executable.wasm_hash.hash.hex()
    raise DecodeError(f"an executable of kind {kind.name}")


def encode_instance(instance: Instance) -> bytes:
    """SCVal bytes of an instance, its storage in the host's order."""
    kind = (
        ContractExecutableType.CONTRACT_EXECUTABLE_STELLAR_ASSET
        if instance.wasm_hash is None
        else ContractExecutableType.CONTRACT_EXECUTABLE_WASM
    )
    head = (
        tag(SCValType.SCV_CONTRACT_INSTANCE) + struct.pack(">i", kind.value) + bytes.fromhex(instance.wasm_hash or "")
    )
    if not instance.has_storage:
        return head + struct.pack(">I", 0)
    storage = sorted(_storage(instance), key=lambda item: sort_key(SCVal.from_xdr_bytes(item[0])))
    return head + struct.pack(">II", 1, len(storage)) + b"".join(key + value for key, value in storage)


def _storage(instance: Instance) -> list[tuple[bytes, bytes]]:
    """The instance's storage as XDR keys and values, in no order."""
    scalars = {
        "ADMIN": instance.admin,
        "GCOUNTER": instance.group_counter,
        "PAUSED": instance.paused,
        "ICONT": instance.claim_counter,
    }
    items = [
        (encode_symbol(symbol), _SCALARS[symbol].encode(value))
        for symbol, value in scalars.items()
        if symbol in instance.explicit or value != _DEFAULTS[symbol]
    ]
    items += [
        (encode_vec([encode_symbol(_POOL), ADDRESS.encode(token)]), INSURANCE_POOL.encode(pool))
        for token, pool in instance.insurance_pools
    ]
    return items + [(base64.b64decode(key), base64.b64decode(value)) for key, value in instance.extra]


def token_text(instance: Instance) -> TokenText:
    """The METADATA entry of a token's storage. Raises DecodeError where there is none."""
    for key, value in instance.extra:
        if base64.b64decode(key) == encode_symbol("METADATA"):
            return TOKEN_TEXT.decode(SCVal.from_xdr(value))
    raise DecodeError("a contract without token metadata")
