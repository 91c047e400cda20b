"""An ordinary token: whole balances, a `transfer` event, no limits, no trustlines, no reserve.

Its contract instance looks like a Stellar Asset Contract's, METADATA included, so that wallets and readers find name,
symbol and decimals where they look for them.
"""

from typing import Final

from ajo.soroban.contract.codec import ADDRESS, I128, SYMBOL, vec_of
from ajo.soroban.contract.entries import Balance, Instance
from ajo.soroban.contract.keys import BalanceKey, InstanceKey
from ajo.soroban.contract.tokens import METADATA, TokenText
from devtools.sandbox.env import CallFailed, Emitted, Env, i128

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
    """The functions of a token that Ajo calls. Any address but a token's traps, as calling it would."""

    def __init__(self, env: Env, address: str) -> None:
        self._env = env
        self._address = address
        if not isinstance(env.read(address, InstanceKey()), Instance) or address == env.contract:
            raise CallFailed("trap")

    def balance(self, holder: str) -> int:
        return int((self._env.read(self._address, BalanceKey(holder)) or held(0)).amount)

    def transfer(self, sender: str, receiver: str, amount: int) -> None:
        """Move an amount; traps on too little balance. A negative amount moves the other way, unchecked."""
        if self.balance(sender) < amount:
            raise CallFailed("trap")
        self._set(sender, i128(self.balance(sender) - amount))
        self._set(receiver, i128(self.balance(receiver) + amount))
        topics = (SYMBOL.to_xdr("transfer"), ADDRESS.to_xdr(sender), ADDRESS.to_xdr(receiver))
        self._env.events.append(Emitted(self._address, topics, I128.to_xdr(amount)))

    def mint(self, receiver: str, amount: int) -> None:
        """Out of nothing and without an event: the genesis and the friendbot."""
        self._set(receiver, i128(self.balance(receiver) + amount))

    def _set(self, holder: str, amount: int) -> None:
        self._env.write(self._address, BalanceKey(holder), held(amount))
