"""The sandbox network: its constants, and the addresses that follow from its passphrase.

Whoever knows the passphrase knows the contract, so nobody needs to ask a running sandbox for it.
"""

import hashlib
from typing import Final

from stellar_sdk import Asset, Keypair, StrKey

# The settings check knows the sandbox by it (ajo.conf.checks).
PASSPHRASE: Final = "Ajo Sandbox ; for development only"  # noqa: S105 - public by design
PROTOCOL_VERSION: Final = 23
RETENTION: Final = 120_960  # ledgers: about seven days, the real server's default
ENTRY_LIFETIME: Final = 2_073_599  # ledgers after an entry's creation in which it still lives: about 120 days
BASE_RESERVE: Final = 5_000_000  # stroops that an account keeps for each of its entries, as on the public network
FRIENDBOT_GRANT: Final = 10_000 * 10**7  # 10,000 XLM, as on testnet
LEDGER_SECONDS: Final = 5


def derived(passphrase: str, what: str) -> bytes:
    """32 bytes that belong to a network and a purpose."""
    return hashlib.sha256(f"{passphrase}/{what}".encode()).digest()


def contract_id(passphrase: str = PASSPHRASE) -> str:
    """The Ajo contract's address on the sandbox network of that passphrase."""
    return StrKey.encode_contract(derived(passphrase, "ajo"))


def wallet_hash(passphrase: str = PASSPHRASE) -> str:
    """Of the code of the sandbox's contract accounts, in hex."""
    return derived(passphrase, "wallet wasm").hex()


def router_id(passphrase: str = PASSPHRASE) -> str:
    return StrKey.encode_contract(derived(passphrase, "router"))


def token_id(passphrase: str = PASSPHRASE) -> str:
    """The native asset's contract, as stellar-sdk derives it."""
    return Asset.native().contract_id(passphrase)


def admin_keypair(passphrase: str = PASSPHRASE) -> Keypair:
    """The contract's admin: a key that everybody can derive, for this network holds nothing."""
    return Keypair.from_raw_ed25519_seed(derived(passphrase, "admin"))


def demo_keypair(passphrase: str = PASSPHRASE) -> Keypair:
    """A wallet with XLM for whoever tries things out; its secret is as public as the admin's."""
    return Keypair.from_raw_ed25519_seed(derived(passphrase, "demo wallet"))
