"""What a client should know of a transaction that can be built, and may regret: warnings beside the answer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from stellar_sdk.xdr import SorobanTransactionData

from ajo.soroban.times import timestamp_to_datetime
from ajo.transactions.calls import Call
from ajo.transactions.limits import refunds_possible
from ajo.transactions.state import CLOSE_SECONDS, State
from groups.models import Token

# of an asset with a code of 12 characters and its issuer: what a transfer's fourth topic is at its longest
LONGEST_ASSET_NAME: Final = "X" * 12 + ":" + "G" * 56
TOKEN_CALLS: Final = ("create_group", "join_group", "contribute")


class WarningCode(StrEnum):
    """One word for each warning; words are added, and none is renamed."""

    GROUP_UNCANCELLABLE = "group_uncancellable"
    TOKEN_UNVERIFIED = "token_unverified"  # noqa: S105  # no password
    RESTORES_ARCHIVED = "restores_archived"
    TIME_EDGE = "time_edge"
    SEQUENCE_GAP = "sequence_gap"


@dataclass(frozen=True, slots=True)
class Warned:
    """A warning in one word, and in a sentence."""

    code: WarningCode
    detail: str


def warnings(
    call: Call, state: State, token: Token | None, data: SorobanTransactionData, valid_until: int
) -> list[Warned]:
    """Return all warnings about a simulated call that can be applied until `valid_until` (unix seconds).

    `token` is the row of the token that the call is about, as token_of returns it.
    """
    found = [*_about_token(call, state, token), _about_archive(data), _about_time(call, state, valid_until)]
    return [each for each in found if each is not None]


def token_of(call: Call, state: State) -> Token | None:
    """Return the row of the token that a call puts into a group, or of the group's; None where there is none."""
    address = _token_address(call, state)
    return Token.objects.filter(address=address).first() if address else None


def _token_address(call: Call, state: State) -> str | None:
    if call.function not in TOKEN_CALLS:
        return None
    address: str | None = call.args.get("token_address") or (state.group.token_address if state.group else None)
    return address


def _about_token(call: Call, state: State, token: Token | None) -> list[Warned | None]:
    address = _token_address(call, state)
    if address is None:
        return []
    unverified = None
    if token is None or not token.verified:
        said = f" It calls itself {token.symbol}." if token and token.symbol else ""
        unverified = Warned(
            WarningCode.TOKEN_UNVERIFIED, f"The token {address} is not one that this service has verified.{said}"
        )
    return [unverified, _about_size(call, state, token)]


def _about_size(call: Call, state: State, token: Token | None) -> Warned | None:
    """Warn of a group in which more may pay than one transaction can pay back."""
    if call.function == "create_group":
        members = int(call.args["max_members"])
    elif call.function == "join_group" and state.group:
        members = len(state.group.members) + 1
    else:
        return None
    name = token.name if token and token.is_asset_contract else LONGEST_ASSET_NAME
    most = refunds_possible(state.limits, name)
    if members <= most:
        return None
    return Warned(
        WarningCode.GROUP_UNCANCELLABLE,
        f"With more than {most} members who have paid a round, the group can be neither cancelled nor refunded: the "
        "events of so many refunds are more than the network lets one transaction make.",
    )


def _about_archive(data: SorobanTransactionData) -> Warned | None:
    extension = data.ext.resource_ext
    restored = len(extension.archived_soroban_entries) if extension else 0
    if not restored:
        return None
    return Warned(
        WarningCode.RESTORES_ARCHIVED,
        f"{restored} archived ledger entries are restored with this call, and the source pays for it: the fee is "
        "mostly that.",
    )


def _about_time(call: Call, state: State, valid_until: int) -> Warned | None:
    """Warn where the ledger's time decides: a simulation takes the node's clock, or the last ledger's close time."""
    if call.function == "vote_refund" and state.request is not None:
        closes = state.request.voting_deadline
        if closes < valid_until:
            return Warned(WarningCode.TIME_EDGE, f"The vote ends at {say(closes)}: a ledger after that refuses it.")
    opens = opens_at(call, state)
    if opens is not None and opens > state.closed_at:
        return Warned(
            WarningCode.TIME_EDGE,
            f"This is possible from {say(opens)} on: a ledger that closes before refuses it, and the fee is lost. Send "
            f"it about {max(CLOSE_SECONDS, opens - state.closed_at)} seconds from now.",
        )
    return None


def opens_at(call: Call, state: State) -> int | None:
    """Return from when on the contract allows the call (unix seconds); None where no time decides.

    A payout is allowed at the end of the grace period, a request for a refund, and its execution, a second after.
    """
    if call.function == "execute_payout":
        return state.grace_end
    if call.function == "request_refund":
        return None if state.grace_end is None else state.grace_end + 1
    if call.function == "execute_refund":
        return None if state.request is None else state.request.voting_deadline + 1
    return None


def say(seconds: int) -> str:
    """Write a time for people; one that no calendar holds as its number."""
    moment = timestamp_to_datetime(seconds)
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}" if moment else f"second {seconds} of unix time"
