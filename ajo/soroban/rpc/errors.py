"""What can go wrong between us and the chain: a closed list that a caller can act on."""

from __future__ import annotations

from typing import ClassVar


class ChainError(Exception):
    """The chain could not be read. Nothing may be written, emptied or deleted because of it."""

    outcome: ClassVar = "failed"  # what metrics call it


class RpcUnavailable(ChainError):
    """No usable node: refused, timed out, 5xx, unhealthy, or a node's own fault (-32603)."""

    outcome = "unavailable"


class RpcRateLimited(RpcUnavailable):
    """The provider asks us to slow down (HTTP 429). `retry_after` is in seconds."""

    outcome = "rate_limited"

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RpcLimitExceeded(RpcUnavailable):
    """The node gave up on a request that asks for too much at once (-32001): ask for less."""

    outcome = "too_much"


class RpcInvalidAnswer(RpcUnavailable):
    """The node answered something that is not the method's answer: HTML, half of it, another id, another key."""

    outcome = "invalid"


class RpcRejected(ChainError):
    """The node refused the request itself (JSON-RPC error `code`): asking again changes nothing."""

    outcome = "rejected"

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code


class RpcOutOfRange(RpcRejected):
    """getEvents: the ledger or cursor is outside `oldest`–`latest` of this node: too old is a gap, ahead a lag."""

    outcome = "out_of_range"

    def __init__(self, code: int, message: str, oldest: int, latest: int) -> None:
        super().__init__(code, message)
        self.oldest = oldest
        self.latest = latest


class NodeLagging(RpcUnavailable):
    """The node has not seen a ledger that we know to exist."""


class NodeAhead(RpcUnavailable):
    """The node names a ledger that the network cannot have reached yet."""


class NodeStalled(NodeLagging):
    """The node has had nothing new for so long that it has no say any more."""


class NeedsConsensus(ChainError):
    """What one node says and only all of them together are believed."""


class WrongChain(NeedsConsensus):
    """The node follows another network, or the network started again: the tables belong to another chain."""


class HistoryPruned(NeedsConsensus):
    """The node does not hold the events that come next any more; its `oldest` ledger is a later one."""

    def __init__(self, message: str, oldest: int) -> None:
        super().__init__(message)
        self.oldest = oldest
