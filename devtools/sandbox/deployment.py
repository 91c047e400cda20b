"""What a new chain begins with, and how XLM comes to a holder."""

from typing import TYPE_CHECKING, Final

from stellar_sdk import StrKey
from stellar_sdk.xdr import Int64

from ajo.soroban.contract.entries import Balance, Instance
from ajo.soroban.contract.keys import BalanceKey, InstanceKey
from devtools.sandbox import network, token
from devtools.sandbox.env import decode, encode
from devtools.sandbox.host import Writes
from devtools.sandbox.ledger.accounts import decode_account, encode_account, new_account
from devtools.sandbox.ledger.keys import account_key, code_entry, code_key
from devtools.sandbox.ledger.settings import default_entries
from devtools.sandbox.network import ENTRY_LIFETIME

# The account of the key 0, which exists on public networks and as which stellar-sdk asks where no source is named.
MISS: Final = StrKey.encode_ed25519_public_key(bytes(32))

if TYPE_CHECKING:
    from devtools.sandbox.chain import Chain
    from devtools.sandbox.open_ledger import OpenLedger


def first_entries(chain: "Chain") -> Writes:
    """The contracts' instances and their code, without bytes; the settings; the account that asks for views."""
    ledger = chain.open_ledger().sequence
    live_until = ledger + ENTRY_LIFETIME
    writes: Writes = {}
    for address, purpose in ((chain.contract, "wasm"), (chain.contracts.router, "router wasm")):
        wasm_hash = network.derived(chain.passphrase, purpose).hex()
        key, entry = encode(address, InstanceKey(), Instance(wasm_hash=wasm_hash))
        code = code_key(wasm_hash)
        writes |= {key: (entry, live_until), code: (code_entry(code), live_until)}
    key, entry = encode(chain.token, InstanceKey(), token.instance())
    writes[account_key(MISS)] = (encode_account(new_account(MISS, network.BASE_RESERVE * 2, 0)), None)
    writes |= {each: (data, None) for each, data in default_entries().items()}
    return {**writes, key: (entry, live_until)}


def install(chain: "Chain", ledger: "OpenLedger", wasm_hash: bytes) -> None:
    """Code of a hash, without bytes: calls that nobody signed find theirs installed."""
    key = code_key(wasm_hash.hex())
    if chain.current(key) is None:
        ledger.writes[key] = (code_entry(key), ledger.sequence + ENTRY_LIFETIME)


def grant(chain: "Chain", ledger: int, holder: str, amount: int) -> Writes:
    """A holder's XLM, so much more."""
    if holder.startswith("G"):
        key = account_key(holder)
        found = chain.current(key)
        account = new_account(holder, 0, ledger << 32) if found is None else decode_account(found.data)
        account.balance = Int64(account.balance.int64 + amount)
        return {key: (encode_account(account), None)}
    key = BalanceKey(holder).encode(chain.token)
    found = chain.current(key)
    before: Balance = token.held(0) if found is None else decode(found.data)
    live_until = ledger + ENTRY_LIFETIME if found is None else found.live_until
    return {key: (encode(chain.token, BalanceKey(holder), token.held(before.amount + amount))[1], live_until)}


def balance(chain: "Chain", holder: str) -> int:
    if holder.startswith("G"):
        found = chain.current(account_key(holder))
        return 0 if found is None else int(decode_account(found.data).balance.int64)
    found = chain.current(BalanceKey(holder).encode(chain.token))
    return 0 if found is None else int(decode(found.data).amount)
