"""Tokens as the Ajo contract calls them, and an ordinary one: whole balances, no limits, no trustlines, no reserve.

The ordinary token's instance looks like an asset contract's, METADATA included, so that wallets and readers find name,
symbol and decimals where they look for them.
"""

from typing import TYPE_CHECKING, Final

from ajo.soroban.contract.codec import ADDRESS, I128, SYMBOL, vec_of
from ajo.soroban.contract.entries import Balance, Instance
from ajo.soroban.contract.keys import BalanceKey
from ajo.soroban.contract.tokens import METADATA, TokenText
from devtools.sandbox.env import CallFailed, Env, decode, encode, i128

if TYPE_CHECKING:
    from devtools.sandbox.machine.machine import Machine

DECIMALS: Final = 7


def instance(name: str = "native", symbol: str = "native") -> Instance:
    """The instance of the network's native asset, as the host writes it."""
    text = TokenText.codec.to_xdr(TokenText(DECIMALS, name.encode(), symbol.encode()))
    key, asset = (vec_of(SYMBOL).to_xdr((each,)) for each in ("AssetInfo", "Native"))
    return Instance(wasm_hash=None, extra=((METADATA, text), (key, asset)))


def held(amount: int) -> Balance:
    """What the host keeps of a holder."""
    return Balance(amount, authorized=True, clawback=False)


class Token:
    """The functions of a token that Ajo calls, whatever contract is at the address."""

    def __init__(self, env: Env, address: str) -> None:
        self._env = env
        self._address = address

    def balance(self, holder: str) -> int:
        return I128.read(self._env.call(self._address, "balance", ADDRESS.encode(holder)), 0)[0]

    def transfer(self, sender: str, receiver: str, amount: int) -> None:
        holders = ADDRESS.encode(sender), ADDRESS.encode(receiver)
        self._env.call(self._address, "transfer", *holders, I128.encode(amount))


class PlainToken:
    """The ordinary token's own side: balances under its contract, for accounts and contracts alike."""

    def __init__(self, machine: "Machine", address: str) -> None:
        self._machine = machine
        self._address = address

    def balance(self, holder: str) -> int:
        entry = self._machine.storage.get(BalanceKey(holder).encode(self._address))
        return 0 if entry is None else int(decode(entry).amount)

    def transfer(self, sender: str, receiver: str, amount: int) -> None:
        """Move an amount; traps on too little balance. A negative amount moves the other way, unchecked."""
        if self.balance(sender) < amount:
            raise CallFailed("trap")
        self._set(sender, i128(self.balance(sender) - amount))
        self._set(receiver, i128(self.balance(receiver) + amount))
        topics = (SYMBOL.encode("transfer"), ADDRESS.encode(sender), ADDRESS.encode(receiver))
        self._machine.emit(topics, I128.encode(amount))

    def _set(self, holder: str, amount: int) -> None:
        self._machine.storage.put(*encode(self._address, BalanceKey(holder), held(amount)))
