"""One search over all: ids, addresses whole or as they are shown, labels, names of groups, transaction hashes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.contrib.auth import get_permission_codename
from django.contrib.auth.models import AnonymousUser
from django.contrib.auth.models import User as Account
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from ajo.adminkit.display import change_link, changelist_link, safe_text, shortened
from ajo.console.people import People
from ajo.soroban.models import ChainTransaction, ContractEvent
from contributions.models import Contribution, Payout, Refund
from groups.models import Group, Token, User, WalletLabel
from groups.search import is_searchable

MAX_FOUND: Final = 20  # of each kind
MAX_TERM: Final = 200  # characters
_NUMBER: Final = re.compile(r"#?([1-9][0-9]{0,18})", re.ASCII)
_ADDRESS: Final = re.compile(r"[GC][A-Z2-7]{55}", re.ASCII)
_SHORTENED: Final = re.compile(r"([GC][A-Z2-7]{2,20})(?:…|\.{2,3})([A-Z2-7]{2,20})", re.ASCII)
_HASH: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Found:
    """Links to what was found of one kind. `is_whole`: there is no more of it."""

    kind: str
    links: list[SafeString]
    is_whole: bool = True


Visible = Callable[[QuerySet[Any]], QuerySet[Any]]  # returns rows that may be seen as they are, no rows of others


def visible_to(account: Account | AnonymousUser) -> Visible:
    """Return what leaves of rows those of tables that this account may see."""

    def visible(rows: QuerySet[Any]) -> QuerySet[Any]:
        meta = rows.model._meta
        names = (f"{meta.app_label}.{get_permission_codename(action, meta)}" for action in ("view", "change"))
        return rows if any(map(account.has_perm, names)) else rows.none()

    return visible


def search(term: str, visible: Visible) -> list[Found]:
    """Return what a term finds, by kind. Every look-up goes by an index."""
    term = term.strip()[:MAX_TERM]
    address = term.upper()
    if "\0" in term:
        return []
    if _ADDRESS.fullmatch(address):
        users, tokens = User.objects.filter(wallet_address=address), Token.objects.filter(address=address)
        return _of_addresses(visible(users), visible(tokens))
    if match := _SHORTENED.fullmatch(address):
        begin, end = match.groups()
        users = User.objects.filter(wallet_address__startswith=begin, wallet_address__endswith=end)
        tokens = Token.objects.filter(address__startswith=begin, address__endswith=end)
        return _of_addresses(visible(users), visible(tokens))
    if _HASH.fullmatch(term.lower()):
        return _of_hash(term.lower(), visible)
    number = _NUMBER.fullmatch(term)
    numbered = Group.objects.filter(pk=int(number[1])) if number else Group.objects.none()
    return [*_kinds(("Group", visible(numbered), group_link)), *_of_words(term, visible)]


def _of_words(term: str, visible: Visible) -> list[Found]:
    """Return what has these words, or this number, in its name or label."""
    if not is_searchable(term):
        return []
    labels = visible(WalletLabel.objects.filter(search_key__finds=term))
    addresses = list(labels.values_list("address", flat=True)[: MAX_FOUND + 1])
    named = Group.objects.filter(search_key__finds=term).order_by("-number")
    return [
        *_of_addresses(visible(User.objects.filter(wallet_address__in=addresses)), Token.objects.none()),
        *_kinds(
            ("Groups", visible(named), group_link),
            ("Labels", labels.exclude(address__in=User.objects.values("wallet_address")), label_link),
        ),
    ]


def _of_addresses(users: QuerySet[Any], tokens: QuerySet[Any]) -> list[Found]:
    wallets: list[User] = list(users[: MAX_FOUND + 1])
    people = People.of([user.wallet_address for user in wallets])
    found = [Found("Wallets", [people.link(user) for user in wallets[:MAX_FOUND]], len(wallets) <= MAX_FOUND)]
    return [*(each for each in found if each.links), *_kinds(("Tokens", tokens, token_link))]


def _of_hash(tx_hash: str, visible: Visible) -> list[Found]:
    links = [
        changelist_link(model, title, tx_hash=tx_hash)
        for model, title in (
            (Contribution, "contributions that it carried"),
            (Payout, "payouts that it carried"),
            (Refund, "refunds that it carried"),
            (ContractEvent, "events that it announced"),
        )
        if visible(model._default_manager.filter(tx_hash=tx_hash)).exists()
    ]
    submitted = visible(ChainTransaction.objects.filter(pk=tx_hash)).first()
    if submitted is not None:
        text = f"submitted here: {submitted.get_status_display().lower()}"
        links.insert(0, change_link(ChainTransaction, tx_hash, text))
    return [Found("Transaction", links)] if links else []


def _kinds(*kinds: tuple[str, QuerySet[Any], Callable[[Any], SafeString]]) -> list[Found]:
    found = []
    for kind, rows, link in kinds:
        some = list(rows[: MAX_FOUND + 1])
        if some:
            found.append(Found(kind, [link(row) for row in some[:MAX_FOUND]], len(some) <= MAX_FOUND))
    return found


def group_link(group: Group) -> SafeString:
    """Return a link to a group's page, with its number and name."""
    return change_link(Group, group.pk, safe_text(str(group)))


def token_link(token: Token) -> SafeString:
    """Return a link to a token's page, with its symbol and address."""
    return change_link(Token, token.pk, safe_text(f"{token.symbol or 'unknown'} {token.address}", 80))


def label_link(label: WalletLabel) -> SafeString:
    """Return a link to the label of a wallet that no group has."""
    return change_link(WalletLabel, label.pk, format_html("{} {}", safe_text(label.label), shortened(label.address)))


def search_page(request: HttpRequest, context: Mapping[str, Any]) -> HttpResponse:
    """Show what `q` finds of what the account may see. `context` is the site's."""
    term = request.GET.get("q", "")
    found = search(term, visible_to(request.user))
    shown = {"title": "Search", "term": term[:MAX_TERM].replace("\0", ""), "found": found}
    return TemplateResponse(request, "admin/search.html", {**context, **shown})
