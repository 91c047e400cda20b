"""Dataclasses whose annotations define their XDR form: `u64`, `address`, bool, `tuple[address, ...]`, a `Struct`."""

import base64
from dataclasses import dataclass, field, fields
from types import NoneType
from typing import Annotated, Any, ClassVar, dataclass_transform, get_args, get_origin, get_type_hints

from ajo.soroban.contract import codec
from ajo.soroban.contract.codec import ANY, MAP, SYMBOL, Codec, DecodeError, count_at, counted

Extra = tuple[tuple[str, str], ...]
u32 = Annotated[int, codec.U32]
u64 = Annotated[int, codec.U64]
i128 = Annotated[int, codec.I128]
string = Annotated[bytes, codec.STRING]
address = Annotated[str, codec.ADDRESS]


def codecs_of(kind: type) -> dict[str, Codec[Any]]:
    """Make a class a frozen dataclass, and return the codecs of its fields in order."""
    dataclass(frozen=True)(kind)
    hints = get_type_hints(kind, include_extras=True)
    return {each.name: _codec_of(hints[each.name]) for each in fields(kind) if each.name != "extra"}


def _codec_of(hint: Any) -> Codec[Any]:
    arguments = get_args(hint)
    if NoneType in arguments:
        return _codec_of(arguments[0])
    if get_origin(hint) is tuple:
        return codec.vec_of(_codec_of(arguments[0]))
    found: Codec[Any] = arguments[1] if arguments else codec.BOOL if hint is bool else hint.codec
    return found


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
@dataclass(frozen=True)
class Struct:
    """A map with symbols as keys. Subclasses become dataclasses.

    A field that defaults to None is optional: contract versions write different ones. `extra` holds unknown fields, as
    name and base64 SCVal.
    """

    extra: Extra = field(default=(), kw_only=True)
    codec: ClassVar[Codec[Any]]

    def __init_subclass__(cls) -> None:
        codecs = codecs_of(cls)
        symbols = {name: SYMBOL.encode(name) for name in codecs}
        optional: dict[str, Any] = {each.name: None for each in fields(cls) if each.default is None}

        def read(raw: bytes, at: int) -> tuple[Struct, int]:
            count, at = count_at(raw, at, MAP)
            found, extra = dict(optional), []
            for _ in range(count):
                name, at = SYMBOL.read(raw, at)
                if name in codecs:
                    found[name], at = codecs[name].read(raw, at)
                else:
                    value, at = ANY.read(raw, at)
                    extra.append((name, value.to_xdr()))
            if missing := codecs.keys() - found.keys():
                raise DecodeError(f"{cls.__name__} lacks {', '.join(sorted(missing))}")
            return cls(**found, extra=tuple(extra)), at

        def encode(value: Struct) -> bytes:
            items = {name: SYMBOL.encode(name) + base64.b64decode(raw) for name, raw in value.extra}
            for name in codecs:
                found = getattr(value, name)
                if found is not None or name not in optional:
                    items[name] = symbols[name] + codecs[name].encode(found)
            return counted(MAP, [items[name] for name in sorted(items)])

        cls.codec = Codec(cls.__name__, read, encode)
