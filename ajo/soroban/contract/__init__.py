"""The Ajo contract's keys, entries, events and functions as small frozen dataclasses (CHAIN §1). Knows no Django."""

from ajo.soroban.contract.codec import DecodeError

__all__ = ["DecodeError"]
