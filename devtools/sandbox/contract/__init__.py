"""The Ajo contract in Python, every function with its checks in the contract's order.

What it answers is compared with what the real contract answered (tests/vectors, tests/rpc), byte for byte.
"""

from devtools.sandbox.contract.groups import Admin, Groups
from devtools.sandbox.contract.rounds import Rounds
from devtools.sandbox.contract.views import Views

__all__ = ["Ajo"]


class Ajo(Admin, Groups, Rounds, Views):
    """The contract: one method for each function, by the function's name."""
