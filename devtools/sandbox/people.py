"""What people have on the network beside XLM: issued assets, trustlines, signers, contract accounts.

Each is set in the open ledger, out of nothing, as the friendbot gives XLM.
"""

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from stellar_sdk import Asset, Keypair, StrKey
from stellar_sdk.xdr import Signer, SignerKey, SignerKeyType, Thresholds, Uint32, Uint256

from ajo.soroban.contract.codec import BYTES
from ajo.soroban.contract.entries import Instance
from ajo.soroban.contract.keys import InstanceKey
from devtools.sandbox import network
from devtools.sandbox.env import encode
from devtools.sandbox.ledger.accounts import (
    AUTHORIZED,
    decode_account,
    encode_account,
    encode_trustline,
    new_trustline,
)
from devtools.sandbox.ledger.keys import account_key, code_entry, code_key, trustline_key
from devtools.sandbox.machine.programs import WALLET_KEY
from devtools.sandbox.network import ENTRY_LIFETIME, FRIENDBOT_GRANT
from devtools.sandbox.transactions.host_functions import asset_instance

if TYPE_CHECKING:
    from devtools.sandbox.chain import Chain


def deploy_asset(chain: "Chain", asset: Asset) -> str:
    """The address of an asset's contract."""
    address = str(asset.contract_id(chain.passphrase))
    ledger = chain.open_ledger()
    key, entry = encode(address, InstanceKey(), asset_instance(asset))
    if chain.current(key) is None:
        ledger.writes[key] = (entry, ledger.sequence + ENTRY_LIFETIME)
    return address


def set_trustline(
    chain: "Chain", account: str, asset: Asset, amount: int, limit: int, *, is_authorized: bool = True
) -> None:
    """Raises ValueError for an account that does not exist."""
    ledger = chain.open_ledger()
    held = chain.current(account_key(account))
    if held is None:
        raise ValueError(f"the account {account} does not exist")
    key = trustline_key(account, asset)
    if chain.current(key) is None:
        owner = decode_account(held.data)
        owner.num_sub_entries = Uint32(owner.num_sub_entries.uint32 + 1)
        ledger.writes[account_key(account)] = (encode_account(owner), None)
    line = new_trustline(account, asset, amount, limit, AUTHORIZED if is_authorized else 0)
    ledger.writes[key] = (encode_trustline(line), None)


def set_signers(chain: "Chain", account: str, thresholds: list[int], signers: dict[str, int]) -> None:
    """Raises ValueError for an account that does not exist."""
    ledger = chain.open_ledger()
    held = chain.current(account_key(account))
    if held is None:
        raise ValueError(f"the account {account} does not exist")
    owner = decode_account(held.data)
    owner.thresholds = Thresholds(bytes(thresholds))
    owner.num_sub_entries = Uint32(owner.num_sub_entries.uint32 - len(owner.signers) + len(signers))
    by_key = sorted(signers.items(), key=lambda each: Keypair.from_public_key(each[0]).raw_public_key())
    owner.signers = [Signer(_signer_key(key), Uint32(weight)) for key, weight in by_key]
    ledger.writes[account_key(account)] = (encode_account(owner), None)


def _signer_key(public_key: str) -> SignerKey:
    raw = Keypair.from_public_key(public_key).raw_public_key()
    return SignerKey(SignerKeyType.SIGNER_KEY_TYPE_ED25519, ed25519=Uint256(raw))


def deploy_wallet(chain: "Chain", public_key: str, amount: int = FRIENDBOT_GRANT) -> str:
    """The address of a contract account that signs with a key. The same key has the same account."""
    digest = hashlib.sha256(f"{chain.passphrase}/wallet/{public_key}".encode()).digest()
    address = StrKey.encode_contract(digest)
    ledger = chain.open_ledger()
    live_until = ledger.sequence + ENTRY_LIFETIME
    code = code_key(network.wallet_hash(chain.passphrase))
    stored = BYTES.to_xdr(StrKey.decode_ed25519_public_key(public_key))
    instance = replace(Instance(network.wallet_hash(chain.passphrase)), extra=((WALLET_KEY, stored),))
    key, entry = encode(address, InstanceKey(), instance)
    is_new = chain.current(key) is None
    ledger.writes |= {key: (entry, live_until), code: (code_entry(code), live_until)}
    if is_new:
        chain.fund(address, amount)
    return address
