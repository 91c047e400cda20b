"""What the tokens that groups collect say of themselves: symbol and decimals, from their contract instance."""

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

# u32 allows more, but no amount of an i128 has more digits to put behind a point
MAX_DECIMALS = 38
FACTS = ("symbol", "name", "decimals", "is_asset_contract")
SHOWN = frozenset({"symbol", "decimals"})  # in the bodies of groups
SHARE = 100  # tokens of a round that a share has at least
RECENT_GROUPS = 1000  # whose tokens are looked at with each share, as far as one call has room
DAY = 86_400  # seconds
MAX_TEXT = 64  # characters of a symbol or name; an entry may hold 64 KB, and each body of each group shows the symbol


def ensure_tokens(addresses: Iterable[str | None]) -> None:
    """Make the rows that groups point to; what the tokens say is read later."""
    wanted = sorted({address for address in addresses if address})
    known = set(Token.objects.filter(address__in=wanted).values_list("address", flat=True))
    Token.objects.bulk_create([_new(address) for address in wanted if address not in known], ignore_conflicts=True)


def read_tokens(client: SorobanClient, at_least: int, tokens: Sequence[Token] | None = None) -> list[Token]:
    """What these tokens, or those that nobody has read yet, say of themselves, 200 a call; for `save_tokens`.

    `at_least`: a node that has not seen this ledger may not know a token that was made just now.
    """
    unread = Token.objects.filter(read_ledger=0, address__startswith="C").order_by("pk")[:MAX_KEYS]
    wanted = list(unread) if tokens is None else tokens
    kept = [(InstanceKey().to_xdr(token.address), token) for token in wanted]
    ask = partial(read_entries, client, at_least=at_least)
    for start in range(0, len(kept), MAX_KEYS):
        part = kept[start : start + MAX_KEYS]
        for some, answer in in_halves(lambda some: ask([key for key, _ in some]), part):
            for key, token in some:
                token.read_ledger = answer.ledger
                entry = answer.found.get(key)
                _describe(token, entry["xdr"] if entry else None)
    return [token for _, token in kept]


def save_tokens(tokens: Sequence[Token]) -> int:
    """Write what they say, never over what was read later, and mark the groups that show it as changed.

    Of what says the same as before nothing is written. Returns how many were.
    """
    read = {token.pk: token for token in tokens}
    changed, shown = [], []
    with transaction.atomic():
        # no key: whoever inserts a group of the token does not wait for it
        for old in Token.objects.filter(pk__in=read).order_by("pk").select_for_update(no_key=True) if read else ():
            new = read[old.pk]
            differing = [name for name in FACTS if getattr(old, name) != getattr(new, name)]
            if new.read_ledger < old.read_ledger or (old.read_ledger and not differing):
                continue
            changed.append(new)
            if not SHOWN.isdisjoint(differing):
                shown.append(new.address)
        Token.objects.bulk_update(changed, [*FACTS, "read_ledger"])
        _touch_groups(shown)
    return len(changed)


def mark_verified() -> None:
    """Mark as verified what VERIFIED_TOKENS lists now, and nothing else but the native asset."""
    listed = {*settings.VERIFIED_TOKENS, _native()}
    wrong = Q(verified=False, address__in=listed) | (Q(verified=True) & ~Q(address__in=listed))
    addresses = list(Token.objects.filter(wrong).values_list("address", flat=True))
    if not addresses:
        return
    with transaction.atomic():
        for verified in (True, False):
            now = [address for address in addresses if (address in listed) == verified]
            Token.objects.filter(address__in=now).update(verified=verified)
        _touch_groups(addresses)


@dataclass(frozen=True, slots=True)
class Due:
    """Tokens to be looked at now. `position`: where the round over all of them goes on; None: this is none of it."""

    tokens: list[Token]
    position: int | None = None


def due_tokens(position: int, only: Sequence[int], *, is_share: bool) -> Due:
    """Return the tokens of `only` some groups, or all, or of a round that takes a day a share.

    With a share come those of the groups that changed last. Any creator names tokens: so many are read, and no more.
    """
    tokens = Token.objects.filter(address__startswith="C")
    if only:
        return Due(list(tokens.filter(address__in=Group.objects.filter(id__in=only).values("token_id")).order_by("pk")))
    if not is_share:
        return Due(list(tokens.order_by("pk")), 0)
    size = max(SHARE, -(-Token.objects.count() * settings.SWEEP_INTERVAL // DAY))
    share = list(tokens.filter(pk__gt=position).order_by("pk")[:size])
    recent = Group.objects.order_by("-changed_at").values_list("token_id", flat=True)[:RECENT_GROUPS]
    wanted = list(dict.fromkeys(address for address in recent if address))[: MAX_KEYS - 1 - SHARE]
    touched = tokens.filter(address__in=wanted).exclude(pk__in=[token.pk for token in share])
    return Due([*share, *touched.order_by("pk")], share[-1].pk if len(share) == size else 0)


def _touch_groups(addresses: Sequence[str]) -> None:
    """Note that the bodies of the groups that collect these tokens changed. Locked in id order, as by every writer."""
    if addresses:
        collecting = Group.objects.filter(token_id__in=addresses).order_by("id")
        ids = list(collecting.select_for_update(of=("self",), no_key=True).values_list("pk", flat=True))
        Group.objects.filter(id__in=ids).touch()


def is_native(address: str) -> bool:
    return address == _native()


def _native() -> str:
    return Asset.native().contract_id(settings.STELLAR_NETWORK_PASSPHRASE)


def _new(address: str) -> Token:
    """The native asset needs no reading: the network defines it. It calls itself "native"; people say XLM."""
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
    """Anyone can write a token contract: what cannot be read, or makes no sense, leaves the symbol unknown.

    None: there is no such contract yet, or the node says so.
    """
    token.symbol, token.name, token.decimals, token.is_asset_contract = None, "", None, False
    if xdr is None:
        return
    try:
        said = token_metadata(xdr)
    except DecodeError:
        return
    if said.decimals <= MAX_DECIMALS and max(len(said.symbol), len(said.name)) <= MAX_TEXT:
        token.symbol, token.name = said.symbol, said.name
        token.decimals, token.is_asset_contract = said.decimals, said.is_asset_contract
