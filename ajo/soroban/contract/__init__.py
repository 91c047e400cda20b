"""The Ajo contract's keys, entries, events and functions as frozen dataclasses (docs/chain.md §1), without Django."""

from ajo.soroban.contract.codec import XDR_FAULTS, DecodeError

__all__ = ["XDR_FAULTS", "DecodeError"]
