"""An ordinary token: whole balances, a `transfer` event, no limits, no trustlines, no reserve.

Its contract instance looks like a Stellar Asset Contract's, METADATA included, so that wallets and readers find name,
symbol and decimals where they look for them.
"""

from typing import Final

from ajo.soroban.binding.codec import ADDRESS, I128, SYMBOL, b64, encode_vec
from ajo.soroban.binding.instance import TOKEN_TEXT, Instance, TokenText
from ajo.soroban.binding.keys import InstanceKey
from ajo.soroban.sandbox.env import Balance, BalanceKey, CallFailed, Emitted, Env, i128

DECIMALS: Final = 7
_NOTHING: Final = Balance(0)


def instance(name: str = "native", symbol: str = "native") -> Instance:
    """The instance of the network's native asset, as the host writes it."""
    text = TOKEN_TEXT.encode(TokenText(DECIMALS, name.encode(), symbol.encode()))
    asset = encode_vec([SYMBOL.encode("Native")])
    return Instance(
        wasm_hash=None,
        extra=(
            (b64(SYMBOL.encode("METADATA")), b64(text)),
            (b64(encode_vec([SYMBOL.encode("AssetInfo")])), b64(asset)),
        ),
    )


class Token:
    """The functions of a token that Ajo calls. Any address but a token's traps, as calling it would."""

    def __init__(self, env: Env, address: str) -> None:
        self._env = env
        self._address = address
        if not isinstance(env.read(address, InstanceKey()), Instance) or address == env.contract:
            raise CallFailed("trap")

    def balance(self, holder: str) -> int:
        return int((self._env.read(self._address, BalanceKey(holder)) or _NOTHING).amount)

    def transfer(self, sender: str, receiver: str, amount: int) -> None:
        """Move an amount; traps on too little balance. A negative amount moves the other way, unchecked."""
        if self.balance(sender) < amount:
            raise CallFailed("trap")
        self._set(sender, i128(self.balance(sender) - amount))
        self._set(receiver, i128(self.balance(receiver) + amount))
        topics = (SYMBOL.encode("transfer"), ADDRESS.encode(sender), ADDRESS.encode(receiver))
        self._env.events.append(Emitted(self._address, tuple(map(b64, topics)), b64(I128.encode(amount))))

    def mint(self, receiver: str, amount: int) -> None:
        """Out of nothing and without an event: the genesis and the friendbot."""
        self._set(receiver, i128(self.balance(receiver) + amount))

    def _set(self, holder: str, amount: int) -> None:
        self._env.write(self._address, BalanceKey(holder), Balance(amount))
