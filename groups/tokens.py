"""What the tokens that groups collect say of themselves: symbol and decimals, from their contract instance."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from django.conf import settings
from django.db import transaction
from stellar_sdk import Asset

from ajo.soroban.binding.codec import DecodeError
from ajo.soroban.binding.keys import InstanceKey
from ajo.soroban.binding.tokens import token_metadata
from ajo.soroban.client import MAX_KEYS, SorobanClient, in_halves
from ajo.soroban.plausibility import read_entries
from groups.models import Group, Token

# u32 allows more, but no amount of an i128 has more digits to put behind a point
MAX_DECIMALS = 38
MAX_TEXT = 64  # characters of a symbol or name; an entry may hold 64 KB, and each body of each group shows the symbol


def ensure_tokens(addresses: Iterable[str | None]) -> None:
    """Make the rows that groups point to; what the tokens say is read later."""
    wanted = sorted({address for address in addresses if address})
    known = set(Token.objects.filter(address__in=wanted).values_list("address", flat=True))
    Token.objects.bulk_create([_new(address) for address in wanted if address not in known], ignore_conflicts=True)


def read_tokens(client: SorobanClient, at_least: int) -> list[Token]:
    """What the tokens that nobody has read yet say of themselves, 200 a call; for `save_tokens`.

    `at_least`: a node that has not seen this ledger may not know a token that was made just now.
    """
    unread = list(Token.objects.filter(read_ledger=0, address__startswith="C").order_by("pk")[:MAX_KEYS])
    if not unread:
        return []
    kept = [(InstanceKey().to_xdr(token.address), token) for token in unread]
    ask = partial(read_entries, client, at_least=at_least)
    for part, answer in in_halves(lambda some: ask([key for key, _ in some]), kept):
        for key, token in part:
            token.read_ledger = answer.ledger
            if entry := answer.found.get(key):
                _describe(token, entry["xdr"])
    return unread


def save_tokens(tokens: Sequence[Token]) -> None:
    """Write them, and mark the groups that show them as changed: bodies carry the token's symbol."""
    if not tokens:
        return
    with transaction.atomic():
        Token.objects.bulk_update(tokens, ["symbol", "name", "decimals", "is_asset_contract", "read_ledger"])
        shown = Group.objects.filter(token__in=[token.address for token in tokens])
        shown.touch()


def _new(address: str) -> Token:
    """The native asset needs no reading: the network defines it. It calls itself "native"; people say XLM."""
    if address == Asset.native().contract_id(settings.STELLAR_NETWORK_PASSPHRASE):
        return Token(
            address=address,
            symbol="XLM",
            name="native",
            decimals=7,
            is_asset_contract=True,
            verified=True,
            read_ledger=1,
        )
    return Token(address=address, verified=address in settings.VERIFIED_TOKENS)


def _describe(token: Token, xdr: str) -> None:
    """Anyone can write a token contract: what cannot be read, or makes no sense, leaves the symbol unknown."""
    try:
        said = token_metadata(xdr)
    except DecodeError:
        return
    if said.decimals <= MAX_DECIMALS and max(len(said.symbol), len(said.name)) <= MAX_TEXT:
        token.symbol, token.name = said.symbol, said.name
        token.decimals, token.is_asset_contract = said.decimals, said.is_asset_contract
