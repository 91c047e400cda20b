"""The closed list of `code` words: why a transaction cannot be built, or why one ended as it did.

All of them may stand in a Transaction's `code`, CONFLICTS in 409 problems. Clients act on the word; the sentence is for
people. docs/api/writing.md lists them; tests/transactions/test_codes.py holds them together.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from ajo.api.problem_codes import ProblemCode


class Code(StrEnum):
    """One word for each reason. Words are added, and none is renamed: clients compare them."""

    CONTRACT_ERROR = "contract_error"
    NO_ACCOUNT = "no_account"
    NO_TRUSTLINE = "no_trustline"
    INSUFFICIENT_BALANCE = "insufficient_balance"
    SOURCE_BUSY = "source_busy"
    LIMITS_EXCEEDED = "limits_exceeded"
    HOST_ERROR = "host_error"
    BAD_AUTH = "bad_auth"
    AUTH_EXPIRED = "auth_expired"
    AUTH_USED = "auth_used"
    STALE = "stale"
    SEQUENCE_USED = "sequence_used"
    BAD_SEQUENCE = "bad_sequence"
    NOT_REPLACEABLE = "not_replaceable"
    TIME_OVER = "time_over"
    FEE_TOO_LOW = "fee_too_low"
    FEE_TOO_HIGH = "fee_too_high"
    REFUNDABLE_FEE = "refundable_fee"
    FILTERED = "filtered"
    MALFORMED = "malformed"
    REFUSED = "refused"
    FAILED = "failed"
    NO_HISTORY = "no_history"


SENTENCES: Final[dict[Code, str]] = {
    Code.CONTRACT_ERROR: "A contract refused the call; contract_error says which, and why.",
    Code.NO_ACCOUNT: "The account is not on the chain: somebody has to fund it first.",
    Code.NO_TRUSTLINE: "The account has no trustline for the token.",
    Code.INSUFFICIENT_BALANCE: "The balance is too small for the payment or for the fee.",
    Code.SOURCE_BUSY: "Another transaction of this source is pending: the network queues one of an account at a time.",
    Code.LIMITS_EXCEEDED: "The transaction is larger than the network, or this service, lets one be.",
    Code.HOST_ERROR: "The network's host refused the call.",
    Code.BAD_AUTH: "An authorization or a signature is missing, or is not what the call needs.",
    Code.AUTH_EXPIRED: "A signed authorization has expired, or expires later than the network allows.",
    Code.AUTH_USED: "A signed authorization has been used before.",
    Code.STALE: "The chain has changed since the transaction was simulated: build it again.",
    Code.SEQUENCE_USED: "Another transaction of the source has used its sequence number: it can never apply.",
    Code.BAD_SEQUENCE: "Its sequence number is not the next of its source.",
    Code.NOT_REPLACEABLE: "What it should replace has ended, or outbids what may be offered.",
    Code.TIME_OVER: "Its time is over: no ledger can carry it any more.",
    Code.FEE_TOO_LOW: "The network asks for a higher fee.",
    Code.FEE_TOO_HIGH: "The fee is higher than this service lets a transaction offer.",
    Code.REFUNDABLE_FEE: "What it offered for storage and events was too little: build it again.",
    Code.FILTERED: "The node refuses to carry transactions of this account or to this entry.",
    Code.MALFORMED: "The network does not take a transaction of this form.",
    Code.REFUSED: "The network refused it before any ledger.",
    Code.FAILED: "It failed in its ledger; no node says why.",
    Code.NO_HISTORY: "No node's history reaches back to it any more.",
}
# The words that a 409 can have, which is a problem: ProblemCode lists them too, and docs/api/errors.md explains them.
_OF_PROBLEMS: Final = {code.value for code in ProblemCode}
CONFLICTS: Final = tuple(code for code in Code if code.value in _OF_PROBLEMS)
