"""A token's metadata, in the storage of its contract instance."""

from dataclasses import dataclass
from typing import Final

from ajo.soroban.contract.codec import SYMBOL, DecodeError
from ajo.soroban.contract.entries import decode_entry, printable
from ajo.soroban.contract.instance import Instance
from ajo.soroban.contract.structs import Struct, string, u32

METADATA: Final = SYMBOL.to_xdr("METADATA")


class TokenText(Struct):
    """The value under METADATA, as Stellar Asset Contracts and the soroban-token-sdk write it."""

    decimal: u32
    name: string
    symbol: string


class LibraryTokenText(Struct):
    """The value under METADATA, as OpenZeppelin's stellar-contracts write it."""

    decimals: u32
    name: string
    symbol: string


@dataclass(frozen=True, slots=True)
class TokenMetadata:
    """A token's name and symbol, and the number of decimal places of its unit."""

    name: str
    symbol: str
    decimals: int
    is_asset_contract: bool


def token_metadata(xdr: str) -> TokenMetadata:
    """Decode name, symbol and decimals from the contract instance of a token, base64 LedgerEntryData.

    Raises DecodeError for an entry that is no instance, or whose storage has no METADATA as tokens keep it.
    """
    instance = decode_entry(xdr).value
    stored = dict(instance.extra).get(METADATA) if isinstance(instance, Instance) else None
    if stored is None:
        raise DecodeError("not the instance of a token with metadata")
    try:
        text = TokenText.codec.from_xdr(stored)
        decimals = text.decimal
    except DecodeError:
        text = LibraryTokenText.codec.from_xdr(stored)
        decimals = text.decimals
    return TokenMetadata(printable(text.name), printable(text.symbol), decimals, instance.wasm_hash is None)
