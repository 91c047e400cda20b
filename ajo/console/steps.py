"""Events of the chain as steps of a timeline, in the words of people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings
from django.utils.safestring import SafeString

from ajo.adminkit import display
from ajo.adminkit.display import safe_text
from ajo.console.people import People
from ajo.soroban.models import ContractEvent
from groups.admin_columns import token_text
from groups.models import Token

MAX_STEPS: Final = 200  # of a timeline, the newest
# Explorers know the public networks alone.
EXPLORERS: Final = {
    "Public Global Stellar Network ; September 2015": "https://stellar.expert/explorer/public/tx/",
    "Test SDF Network ; September 2015": "https://stellar.expert/explorer/testnet/tx/",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened.

    `transaction`: its hash, with a link to all that it announced. `explorer`: the same on a public explorer; empty on
    other networks.
    """

    time: str
    words: SafeString | str
    who: SafeString | str
    transaction: SafeString
    explorer: str


_EVENTS: Final = {
    "created": "created the group", "joined": "joined", "contrib": "paid", "payout": "was paid out",
    "complete": "completed", "cancel": "cancelled the group", "refreq": "asked for a refund by vote",
    "refvote": "voted", "refund": "was refunded", "emrefund": "ordered an emergency refund",
    "cycle": "a new round began", "late": "paid late", "pendistr": "was paid penalties",
}  # fmt: skip
_ACTORS: Final = ("member", "recipient", "creator", "requester", "voter", "admin")


def step_of(event: ContractEvent, people: People, token: Token | None) -> Step:
    """Return an event as a step; amounts are in `token`."""
    data = event.data if isinstance(event.data, dict) else {}
    actor = next((data[name] for name in _ACTORS if isinstance(data.get(name), str)), None)
    details = list(_details(event, data, token))
    what = _EVENTS.get(event.type, event.type)
    words = what + (f" ({', '.join(details)})" if details else "")
    explorer = EXPLORERS.get(settings.STELLAR_NETWORK_PASSPHRASE, "")
    return Step(
        time=display.format_time(event.created_at),
        words=safe_text(words, 120),
        who=people.link_of(actor) if actor else "",
        transaction=display.changelist_link(ContractEvent, display.shortened(event.tx_hash), tx_hash=event.tx_hash),
        explorer=explorer + event.tx_hash if explorer else "",
    )


def _details(event: ContractEvent, data: dict[str, Any], token: Token | None) -> Iterator[str]:
    if event.round is not None:
        yield f"round {event.round}"
    amount = data.get("amount")
    if isinstance(amount, str) and amount.lstrip("-").isdecimal():
        yield token_text(int(amount), token)
    if event.type == "refvote":
        yield "for" if data.get("in_favor") else "against"
