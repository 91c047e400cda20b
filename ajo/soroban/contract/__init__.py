"""The Ajo contract's keys, entries, events and functions as frozen dataclasses (docs/chain.md §1), without Django."""

from ajo.soroban.contract.codec import DecodeError

__all__ = ["DecodeError"]
