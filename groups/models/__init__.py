"""State: wallets, tokens, groups, members and refund requests, as the contract's ledger entries have them.

The sync writes these tables (groups/sync.py). Wallet labels are the exception: staff write them.
"""

from groups.models.groups import Group, GroupMember, GroupQuerySet, RefundRequest
from groups.models.tokens import OWED_AND_COLLECTED, Token, TokenQuerySet
from groups.models.wallets import User, UserQuerySet, WalletLabel

__all__ = [
    "OWED_AND_COLLECTED",
    "Group",
    "GroupMember",
    "GroupQuerySet",
    "RefundRequest",
    "Token",
    "TokenQuerySet",
    "User",
    "UserQuerySet",
    "WalletLabel",
]
