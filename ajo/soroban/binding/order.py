"""The order in which the host keeps a map's keys: by type, then by value (the derived order of Rust's ScVal)."""

from collections.abc import Callable
from typing import Any, Final

from stellar_sdk.xdr import SCVal, SCValType

_PLAIN: Final[dict[SCValType, Callable[[Any], Any]]] = {
    SCValType.SCV_BOOL: lambda value: value.b,
    SCValType.SCV_U32: lambda value: value.u32.uint32,
    SCValType.SCV_I32: lambda value: value.i32.int32,
    SCValType.SCV_U64: lambda value: value.u64.uint64,
    SCValType.SCV_I64: lambda value: value.i64.int64,
    SCValType.SCV_U128: lambda value: (value.u128.hi.uint64, value.u128.lo.uint64),
    SCValType.SCV_I128: lambda value: (value.i128.hi.int64, value.i128.lo.uint64),
    SCValType.SCV_BYTES: lambda value: value.bytes.sc_bytes,
    SCValType.SCV_STRING: lambda value: value.str.sc_string,
    SCValType.SCV_SYMBOL: lambda value: value.sym.sc_symbol,
}


def sort_key(value: SCVal) -> tuple[Any, ...]:
    """A key that sorts SCVals as the host does; types it does not know are sorted by their bytes."""
    plain = _PLAIN.get(value.type)
    if plain is not None:
        return (value.type.value, plain(value))
    if value.type == SCValType.SCV_VEC and value.vec is not None:
        return (value.type.value, tuple(sort_key(each) for each in value.vec.sc_vec))
    if value.type == SCValType.SCV_MAP and value.map is not None:
        return (value.type.value, tuple((sort_key(each.key), sort_key(each.val)) for each in value.map.sc_map))
    return (value.type.value, value.to_xdr_bytes())
