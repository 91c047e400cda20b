"""Addresses of wallets."""

import random

from stellar_sdk import Keypair, StrKey


def wallets(count: int, seed: int = 1) -> list[str]:
    """Return `count` addresses, the same for the same seed: accounts and, each third, contract wallets."""
    rng = random.Random(seed)
    keys = [rng.randbytes(32) for _ in range(count)]
    return [
        StrKey.encode_contract(key) if n % 3 == 2 else Keypair.from_raw_ed25519_seed(key).public_key
        for n, key in enumerate(keys)
    ]
