"""The contract's errors by its own names, numbered from 1 as in `Error(Contract, #N)` (docs/chain.md §1.4)."""

from enum import IntEnum

ContractError = IntEnum(
    "ContractError",
    """
    GroupNotFound MaxMembersExceeded AlreadyMember NotMember AlreadyContributed IncompleteContributions
    AlreadyReceivedPayout GroupComplete ContributionAmountZero CycleDurationZero MaxMembersBelowMinimum
    InsufficientBalance TransferFailed NoMembers Unauthorized OutsideCycleWindow ContributionAmountNegative
    MaxMembersAboveLimit GroupCancelled AlreadyInitialized ContractPaused UnauthorizedPause UnauthorizedUnpause
    GracePeriodExpired InvalidGracePeriod InvalidPenaltyRate MetadataTooLong CannotCancelAfterPayout
    OnlyCreatorCanCancel RefundRequestExists NoRefundRequest AlreadyVoted VotingPeriodActive VotingPeriodEnded
    RefundNotApproved RefundAlreadyExecuted CycleNotExpired InvalidTokenAddress InsufficientContractBalance
    InsufficientAllowance InvalidClaim ClaimAlreadyProcessed InsufficientPoolBalance PoolNotFound
    """,
)
