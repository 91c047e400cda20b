"""Reads token metadata (symbol, name, decimals) from the instance entries of the token contracts, and writes it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from stellar_sdk import Asset

from ajo.soroban.contract.codec import DecodeError
from ajo.soroban.contract.keys import InstanceKey
from ajo.soroban.contract.tokens import token_metadata
from ajo.soroban.plausibility import read_entries
from ajo.soroban.rpc.client import MAX_KEYS, SorobanClient, in_halves
from groups.models import Group, Token
from groups.schedule import DAY

MAX_DECIMALS = 38  # digits after the point; u32 allows more, but no i128 has more
METADATA_FIELDS = ("symbol", "name", "decimals", "is_asset_contract")
BODY_FIELDS = frozenset({"symbol", "decimals"})  # those that appear in the bodies of groups
MIN_BATCH = 100  # tokens; the least that a daily batch has
RECENT_GROUPS = 1000  # the groups that changed last, whose tokens join each batch while one call has room
MAX_TEXT = 64  # characters of a symbol or name; an entry may hold 64 KB, and each body of each group shows the symbol


def ensure_tokens(addresses: Iterable[str | None]) -> None:
    """Insert the token rows that are missing. Their metadata is read later, by `read_tokens`."""
    wanted = sorted({address for address in addresses if address})
    known = set(Token.objects.filter(address__in=wanted).values_list("address", flat=True))
    Token.objects.bulk_create([_new(address) for address in wanted if address not in known], ignore_conflicts=True)


def read_tokens(client: SorobanClient, at_least: int, tokens: Sequence[Token] | None = None) -> list[Token]:
    """Read the metadata of these tokens, or of up to 200 that were never read, 200 a call. `save_tokens` stores it.

    `at_least`: the ledger that the node must have reached; a node that lags may not know a new token. Raises
    ChainError.
    """
    unread = Token.objects.filter(read_ledger=0, address__startswith="C").order_by("pk")[:MAX_KEYS]
    wanted = list(unread) if tokens is None else tokens
    keyed = [(InstanceKey().to_xdr(token.address), token) for token in wanted]
    ask = partial(read_entries, client, at_least=at_least)
    for start in range(0, len(keyed), MAX_KEYS):
        part = keyed[start : start + MAX_KEYS]
        for some, answer in in_halves(lambda some: ask([key for key, _ in some]), part):
            for key, token in some:
                token.read_ledger = answer.ledger
                entry = answer.found.get(key)
                _describe(token, entry["xdr"] if entry else None)
    return [token for _, token in keyed]


def save_tokens(tokens: Sequence[Token]) -> int:
    """Store the metadata that differs, and mark the groups that show it as changed. Return how many rows were written.

    Metadata of a later ledger is never overwritten.
    """
    read = {token.pk: token for token in tokens}
    changed, visible = [], []
    with transaction.atomic():
        # NO KEY UPDATE: inserting a group of the token need not wait for the lock
        for old in Token.objects.filter(pk__in=read).order_by("pk").select_for_update(no_key=True) if read else ():
            new = read[old.pk]
            differing = [name for name in METADATA_FIELDS if getattr(old, name) != getattr(new, name)]
            if new.read_ledger < old.read_ledger or (old.read_ledger and not differing):
                continue
            changed.append(new)
            if not BODY_FIELDS.isdisjoint(differing):
                visible.append(new.address)
        Token.objects.bulk_update(changed, [*METADATA_FIELDS, "read_ledger"])
        _touch_groups(visible)
    return len(changed)


def mark_verified() -> None:
    """Make `verified` true of exactly the tokens in VERIFIED_TOKENS and the native asset, and mark their groups."""
    listed = {*settings.VERIFIED_TOKENS, _native()}
    wrong = Q(verified=False, address__in=listed) | (Q(verified=True) & ~Q(address__in=listed))
    addresses = list(Token.objects.filter(wrong).values_list("address", flat=True))
    if not addresses:
        return
    with transaction.atomic():
        for verified in (True, False):
            some = [address for address in addresses if (address in listed) == verified]
            Token.objects.filter(address__in=some).update(verified=verified)
        _touch_groups(addresses)


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """Holds tokens to be read now. `position`: the key after which the next batch begins; None: keep the stored one."""

    tokens: list[Token]
    position: int | None = None


def token_batch(position: int, only: Sequence[int], *, is_daily: bool) -> TokenBatch:
    """Return the tokens of the groups in `only`; else a daily share after `position`; else all of them.

    Shares are sized so that a day's sweeps cover every token. The tokens of the groups that changed last join each
    share. Their number is bounded: any creator of a group can name a token.
    """
    tokens = Token.objects.filter(address__startswith="C")
    if only:
        return TokenBatch(
            list(tokens.filter(address__in=Group.objects.filter(id__in=only).values("token_id")).order_by("pk"))
        )
    if not is_daily:
        return TokenBatch(list(tokens.order_by("pk")), 0)
    size = max(MIN_BATCH, -(-Token.objects.count() * settings.SWEEP_INTERVAL // DAY))
    due = list(tokens.filter(pk__gt=position).order_by("pk")[:size])
    recent = Group.objects.order_by("-changed_at").values_list("token_id", flat=True)[:RECENT_GROUPS]
    wanted = list(dict.fromkeys(address for address in recent if address))[: MAX_KEYS - 1 - MIN_BATCH]
    others = tokens.filter(address__in=wanted).exclude(pk__in=[token.pk for token in due])
    return TokenBatch([*due, *others.order_by("pk")], due[-1].pk if len(due) == size else 0)


def _touch_groups(addresses: Sequence[str]) -> None:
    """Mark the bodies of the groups of these tokens as changed. Locks rows in id order, as every writer does."""
    if addresses:
        collecting = Group.objects.filter(token_id__in=addresses).order_by("id")
        ids = list(collecting.select_for_update(of=("self",), no_key=True).values_list("pk", flat=True))
        Group.objects.filter(id__in=ids).touch()


def is_native(address: str) -> bool:
    """Return whether this is the contract address of the configured network's native asset."""
    return address == _native()


def _native() -> str:
    return Asset.native().contract_id(settings.STELLAR_NETWORK_PASSPHRASE)


def _new(address: str) -> Token:
    """Return an unsaved row. The native asset is complete: the network defines it, under the name "native"."""
    if is_native(address):
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


def _describe(token: Token, xdr: str | None) -> None:
    """Set the metadata from an instance entry (base64); None: the node has no such entry.

    Metadata that cannot be decoded or is out of bounds is silently left unknown: anyone can write a token contract.
    """
    token.symbol, token.name, token.decimals, token.is_asset_contract = None, "", None, False
    if xdr is None:
        return
    try:
        metadata = token_metadata(xdr)
    except DecodeError:
        return
    if metadata.decimals <= MAX_DECIMALS and max(len(metadata.symbol), len(metadata.name)) <= MAX_TEXT:
        token.symbol, token.name = metadata.symbol, metadata.name
        token.decimals, token.is_asset_contract = metadata.decimals, metadata.is_asset_contract
