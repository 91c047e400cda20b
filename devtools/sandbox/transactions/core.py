"""The core node as the RPC server meets it: its answer to a submitted transaction, an HTTP status and a JSON body."""

import contextlib
import json
from collections import deque
from dataclasses import dataclass, field

from ajo.soroban.contract.codec import b64
from devtools.sandbox.present import present
from devtools.sandbox.transactions.checks import Invalid
from devtools.sandbox.transactions.envelope import Envelope
from devtools.sandbox.transactions.queue import Queue, Status


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: str


@dataclass
class Core:
    """`ordered` answers are given first, one to a transaction, which then is not even looked at.

    `lost`: so many answers do not come back, though the transaction was taken. `forward`: another node's queue, which
    hears of what is taken here.
    """

    queue: Queue
    ordered: deque[Answer] = field(default_factory=deque)
    lost: int = 0
    forward: Queue | None = None

    def submit(self, envelope: Envelope) -> Answer:
        if self.ordered:
            return self.ordered.popleft()
        answer = self._submit(envelope)
        if self.lost > 0:
            self.lost -= 1
            return Answer(504, "")
        return answer

    def _submit(self, envelope: Envelope) -> Answer:
        try:
            status = self.queue.submit(envelope)
        except Invalid as invalid:
            return Answer(200, json.dumps(_error(envelope, invalid)))
        if self.forward is not None and status == Status.PENDING:
            self._flood(envelope)
        return Answer(200, json.dumps({"status": status.value}))

    def _flood(self, envelope: Envelope) -> None:
        """Nobody hears what the other node thinks of it."""
        with contextlib.suppress(Invalid):
            present(self.forward).submit(envelope)


def _error(envelope: Envelope, invalid: Invalid) -> dict[str, str]:
    inner = None if envelope.bump is None else envelope.inner_hash
    found = {"status": Status.ERROR.value, "error": b64(invalid.result.encode(invalid.fee, inner))}
    if invalid.events:
        told = [each.diagnostic(successful=False) for each in invalid.events]
        found["diagnostic_events"] = b64(len(told).to_bytes(4, "big") + b"".join(told))
    return found
