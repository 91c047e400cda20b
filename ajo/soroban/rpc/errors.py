"""The errors of the chain's client: a closed list that callers can act on (docs/chain.md §2)."""

from __future__ import annotations

from typing import ClassVar


class ChainError(Exception):
    """The chain could not be read. Nothing may be written, emptied or deleted because of it."""

    outcome: ClassVar = "failed"  # what metrics call it
    # Whether the pool leaves the node for a while. Not where a client's transaction may be the reason: else whoever
    # posts such transactions would keep everybody from the nodes.
    backs_off: ClassVar = True


class RpcUnavailable(ChainError):
    """No node is usable: refused, timed out, 5xx, unhealthy, or a node's own fault (-32603)."""

    outcome = "unavailable"


class RpcRateLimited(RpcUnavailable):
    """The provider asks us to slow down (HTTP 429). `retry_after` is in seconds."""

    outcome = "rate_limited"

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RpcLimitExceeded(RpcUnavailable):
    """The node gave up on a request that asks for too much at once (-32001). Callers ask for less."""

    outcome = "too_much"


class NodeFault(RpcUnavailable):
    """The node answered with a fault of its own (-32603, -32000)."""


class SendFault(NodeFault):
    """The node cannot say what became of a transaction that it was sent, as of one of a filtered account."""

    backs_off = False


class SimulationFault(RpcUnavailable):
    """The node cannot read a transaction that it was to simulate."""

    backs_off = False


class RpcInvalidAnswer(RpcUnavailable):
    """The node's answer is not the method's: HTML, half of it, another id, another key."""

    outcome = "invalid"


class RpcRejected(ChainError):
    """The node refused the request itself (JSON-RPC error `code`). A retry changes nothing."""

    outcome = "rejected"

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code
        self.message = message


class SendRejected(RpcRejected):
    """The node refused the request to send a transaction. With the code -32602 it has submitted nothing."""

    backs_off = False


class RpcOutOfRange(RpcRejected):
    """The ledger or cursor of getEvents is outside `oldest`–`latest` of this node: before is a gap, after is a lag."""

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
    """The node has had no new ledger for so long that it no longer counts in a consensus."""


class NeedsConsensus(ChainError):
    """One node reports what is believed only if all nodes report it."""


class WrongChain(NeedsConsensus):
    """The node follows another network, or the network started again: the tables belong to another chain."""


class HistoryPruned(NeedsConsensus):
    """The node no longer holds the events that come next; its `oldest` ledger is a later one."""

    def __init__(self, message: str, oldest: int) -> None:
        super().__init__(message)
        self.oldest = oldest


class TransactionPruned(HistoryPruned):
    """The node's history does not reach back to a transaction. It answers everything else as well as before."""

    backs_off = False
