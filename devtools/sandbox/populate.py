"""A large chain for trying an operation by hand: `python -m devtools.sandbox.populate FOLDER GROUPS`.

Groups of ten members, one in three with its first round paid; deterministic. `SANDBOX_DIR=FOLDER SANDBOX_DEMO=0
python -m devtools.sandbox` serves it.
"""

import random
import sys
from pathlib import Path

from stellar_sdk import Keypair

from devtools.sandbox.chain import Chain

MEMBERS = 10
WALLETS = 200
GROUPS_IN_A_LEDGER = 10
AMOUNT = 10_000_000  # stroops: 1 XLM
DAY = 86_400  # seconds


def populate(chain: Chain, groups: int) -> None:
    """Make this many groups in as many calls as people would need."""
    rng = random.Random(1)  # noqa: S311 - the same chain each time
    wallets = [Keypair.from_raw_ed25519_seed(rng.randbytes(32)).public_key for _ in range(WALLETS)]
    for wallet in wallets:
        chain.fund(wallet, 10**15)
    for number in range(groups):
        creator, *others = rng.sample(wallets, MEMBERS)
        group = chain.call(creator, "create_group", creator, chain.token, AMOUNT, DAY, MEMBERS, 0, 0, 0).result
        for member in others:
            chain.call(member, "join_group", member, group)
        for member in [creator, *others] if number % 3 == 0 else ():
            chain.call(member, "contribute", member, group)
        if number % GROUPS_IN_A_LEDGER == GROUPS_IN_A_LEDGER - 1:
            chain.close_ledger()
    chain.close_ledger()


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    populate(Chain(folder=folder), int(sys.argv[2]))
