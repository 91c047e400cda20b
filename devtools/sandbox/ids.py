"""Positions in the chain as the RPC writes them: TOIDs, event ids and cursors (SEP-35)."""

from typing import Final

TX_MAX: Final = (1 << 20) - 1
OP_MAX: Final = (1 << 12) - 1
EVENT_MAX: Final = (1 << 32) - 1


def event_id(ledger: int, tx: int = 0, op: int = 0, event: int = 0) -> str:
    """`%019d-%010d` of the TOID and the event's index; sorts as the chain does."""
    return f"{ledger << 32 | tx << 12 | op:019d}-{event:010d}"


def parse_toid(toid: int) -> tuple[int, int, int]:
    """Ledger, transaction (from 1) and operation (from 0)."""
    return toid >> 32 & 0xFFFFFFFF, toid >> 12 & TX_MAX, toid & OP_MAX
