"""How large a transaction can become when it is signed: twenty signatures, every condition, a muxed source."""

from typing import Final

from stellar_sdk.xdr import SorobanTransactionData

_MUXED: Final = 4 + 8 + 32
_BOUNDS: Final = 4 + (4 + 16) + (4 + 8) + (4 + 8) + 8 + 4 + 4 + 2 * (4 + 32 + 4 + 64)
_MEMO: Final = 4 + 32
_SIGNATURES: Final = 4 + 20 * (4 + 4 + 64)
_HEAD: Final = 4 + _MUXED + 4 + 8 + _BOUNDS + _MEMO


def largest_size(operation: bytes, data: SorobanTransactionData) -> int:
    """Bytes of the envelope with this operation's body (without its type)."""
    archived = 0 if data.ext.resource_ext is None else len(data.ext.resource_ext.archived_soroban_entries)
    resources = len(data.resources.to_xdr_bytes())
    soroban = 4 + 4 + 4 + 4 * archived + resources + 8
    return _HEAD + 4 + (4 + _MUXED) + 4 + len(operation) + soroban + _SIGNATURES
