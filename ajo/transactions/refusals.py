"""Whose refusal a call met, by number and name, in a sentence for people: of this contract, of a token, of the host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings

from ajo.soroban.contract.contract_errors import ContractError
from ajo.soroban.contract.diagnostics import HostFailure
from ajo.transactions.codes import SENTENCES, Code
from ajo.transactions.conflicts import Conflict
from groups.models import Token

TRAP: Final = "Trap"


@dataclass(frozen=True, slots=True)
class Explanation:
    """A failure in one word, in a sentence, and as the API's object of who refused: a contract, or the host."""

    code: Code
    detail: str
    contract_error: dict[str, Any] | None = None
    host_error: dict[str, str] | None = None

    def conflict(self) -> Conflict:
        """Return the exception that says it."""
        told = {"contract_error": self.contract_error, "host_error": self.host_error}
        return Conflict(self.code, self.detail, **{name: error for name, error in told.items() if error})


def explain(failure: HostFailure) -> Explanation:
    """Explain why the host ended a call, in a simulation or in a ledger."""
    if failure.number is not None:
        return _by_number(failure.contract, failure.number)
    if failure.is_trap:
        error = {"contract": failure.contract, "code": None, "name": TRAP}
        return Explanation(Code.CONTRACT_ERROR, f"{_whose(failure.contract)} trapped, as on an overflow.", error)
    return _by_host(failure)


def _by_number(contract: str | None, number: int) -> Explanation:
    if contract == settings.AJO_CONTRACT_ID:
        known = number in ContractError.__members__.values()
        name = ContractError(number).name if known else None
        detail = AJO_SENTENCES[ContractError(number)] if known else f"The contract refused with its error {number}."
        return Explanation(Code.CONTRACT_ERROR, detail, {"contract": contract, "code": number, "name": name})
    code, detail = ASSET_ERRORS.get(number, _UNNAMED) if contract and _is_asset(contract) else _UNNAMED
    detail = detail or f"{_whose(contract)} refused with its error {number}."
    return Explanation(code, detail, {"contract": contract, "code": number, "name": None})


def _is_asset(contract: str) -> bool:
    """Return whether a contract counts errors as the network's assets do: other tokens have numbers of their own.

    One that is not known may be an asset's.
    """
    token = Token.objects.filter(address=contract, read_ledger__gt=0).first()
    return token is None or token.is_asset_contract


def _by_host(failure: HostFailure) -> Explanation:
    code = _HOST_CODES.get((failure.kind, failure.code), Code.HOST_ERROR)
    detail = f"{SENTENCES[code]} The host says {failure.kind}, {failure.code}."
    return Explanation(code, detail, host_error={"type": failure.kind, "code": failure.code})


def _whose(contract: str | None) -> str:
    if contract == settings.AJO_CONTRACT_ID:
        return "The savings contract"
    return f"The contract {contract}" if contract else "A contract"


_UNNAMED: Final = (Code.CONTRACT_ERROR, "")
_HOST_CODES: Final = {
    ("Auth", "InvalidAction"): Code.BAD_AUTH,
    ("Auth", "InvalidInput"): Code.AUTH_EXPIRED,
    ("Auth", "ExistingValue"): Code.AUTH_USED,
    ("Storage", "ExceededLimit"): Code.STALE,  # a key that the simulation did not see
    ("Budget", "ExceededLimit"): Code.LIMITS_EXCEEDED,
}
# The errors of the network's own asset contracts, as the host's builtin contract numbers them.
ASSET_ERRORS: Final[dict[int, tuple[Code, str]]] = {
    6: (Code.NO_ACCOUNT, "The token's account is not on the chain any more, or not yet."),
    8: (Code.CONTRACT_ERROR, "The token takes no negative amount."),
    9: (Code.CONTRACT_ERROR, "The token's allowance is too small."),
    10: (
        Code.CONTRACT_ERROR,
        "The token's balance does not allow it: too small beside the reserve, or above the trustline's limit.",
    ),
    11: (Code.CONTRACT_ERROR, "The token's issuer has not authorized this balance."),
    13: (Code.NO_TRUSTLINE, "The account has no trustline for the token: it has to add one first."),
}
AJO_SENTENCES: Final[dict[ContractError, str]] = {
    ContractError.GroupNotFound: "There is no group with this number.",
    ContractError.MaxMembersExceeded: "The group is full.",
    ContractError.AlreadyMember: "This wallet is a member of the group already.",
    ContractError.NotMember: "This wallet is no member of the group.",
    ContractError.AlreadyContributed: "This member has paid this round already.",
    ContractError.IncompleteContributions: "Not every member has paid this round yet.",
    ContractError.AlreadyReceivedPayout: "This member has received its payout already.",
    ContractError.GroupComplete: "The group is finished: every member has had its payout.",
    ContractError.ContributionAmountZero: "The amount of a contribution has to be more than zero.",
    ContractError.CycleDurationZero: "A round has to last longer than zero seconds.",
    ContractError.MaxMembersBelowMinimum: "A group needs room for two members at least.",
    ContractError.InsufficientBalance: "The member's balance of the token is smaller than the contribution.",
    ContractError.TransferFailed: "The token could not be moved.",
    ContractError.NoMembers: "No member is left to be paid.",
    ContractError.Unauthorized: "Only the contract's admin may do this, and it has to be set.",
    ContractError.OutsideCycleWindow: "The round is not over yet, its grace period included.",
    ContractError.ContributionAmountNegative: "The amount of a contribution has to be more than zero.",
    ContractError.MaxMembersAboveLimit: "A group has room for 100 members at most.",
    ContractError.GroupCancelled: "The group has been cancelled.",
    ContractError.AlreadyInitialized: "The contract has its admin already.",
    ContractError.ContractPaused: "The contract is paused by its admin.",
    ContractError.UnauthorizedPause: "Only the contract's admin may pause it, and it has to be set.",
    ContractError.UnauthorizedUnpause: "Only the contract's admin may end its pause, and it has to be set.",
    ContractError.GracePeriodExpired: "The grace period of the round is over.",
    ContractError.InvalidGracePeriod: "A grace period lasts 604,800 seconds at most.",
    ContractError.InvalidPenaltyRate: "A penalty is 100 percent at most.",
    ContractError.MetadataTooLong: "The name takes 50 bytes at most, the description 250, the rules 1,000.",
    ContractError.CannotCancelAfterPayout: "The group cannot be cancelled any more: a member has had its payout.",
    ContractError.OnlyCreatorCanCancel: "Only the group's creator may cancel it.",
    ContractError.RefundRequestExists: "A refund has been requested for this group already.",
    ContractError.NoRefundRequest: "No refund has been requested for this group.",
    ContractError.AlreadyVoted: "This member has voted already.",
    ContractError.VotingPeriodActive: "The vote is still open.",
    ContractError.VotingPeriodEnded: "The vote is over.",
    ContractError.RefundNotApproved: "The members have not voted for the refund.",
    ContractError.RefundAlreadyExecuted: "The refund has been carried out already.",
    ContractError.CycleNotExpired: "The round is not over yet, its grace period included.",
    ContractError.InvalidTokenAddress: "This is no token.",
    ContractError.InsufficientContractBalance: "The contract holds less of the token than it would have to pay.",
    ContractError.InsufficientAllowance: "The token's allowance is too small.",
    ContractError.InvalidClaim: "There is no insurance claim with this number.",
    ContractError.ClaimAlreadyProcessed: "The insurance claim has been decided already.",
    ContractError.InsufficientPoolBalance: "The insurance pool holds less than the claim.",
    ContractError.PoolNotFound: "There is no insurance pool for the group's token.",
}
