"""The contract's error numbers, as in `Error(Contract, #N)`, by the contract's names."""

from enum import IntEnum


class ContractError(IntEnum):
    GroupNotFound = 1
    MaxMembersExceeded = 2
    AlreadyMember = 3
    NotMember = 4
    AlreadyContributed = 5
    IncompleteContributions = 6
    AlreadyReceivedPayout = 7
    GroupComplete = 8
    ContributionAmountZero = 9
    CycleDurationZero = 10
    MaxMembersBelowMinimum = 11
    InsufficientBalance = 12
    TransferFailed = 13
    NoMembers = 14
    Unauthorized = 15
    OutsideCycleWindow = 16
    ContributionAmountNegative = 17
    MaxMembersAboveLimit = 18
    GroupCancelled = 19
    AlreadyInitialized = 20
    ContractPaused = 21
    UnauthorizedPause = 22
    UnauthorizedUnpause = 23
    GracePeriodExpired = 24
    InvalidGracePeriod = 25
    InvalidPenaltyRate = 26
    MetadataTooLong = 27
    CannotCancelAfterPayout = 28
    OnlyCreatorCanCancel = 29
    RefundRequestExists = 30
    NoRefundRequest = 31
    AlreadyVoted = 32
    VotingPeriodActive = 33
    VotingPeriodEnded = 34
    RefundNotApproved = 35
    RefundAlreadyExecuted = 36
    CycleNotExpired = 37
    InvalidTokenAddress = 38
    InsufficientContractBalance = 39
    InsufficientAllowance = 40
    InvalidClaim = 41
    ClaimAlreadyProcessed = 42
    InsufficientPoolBalance = 43
    PoolNotFound = 44
