"""The contract that the network gives every asset: native or issued, for accounts and for contracts.

An account's money is in its account or trustline, a contract's in the asset contract's own data. The issuer has no
balance: what it pays is minted, what it gets is burnt.
"""

from typing import Any, Final

from stellar_sdk import Asset
from stellar_sdk.xdr import Int64

from ajo.soroban.contract.codec import ADDRESS, I128, STRING, U32, VOID, Codec, DecodeError
from ajo.soroban.contract.entries import Balance
from ajo.soroban.contract.instance import Instance
from ajo.soroban.contract.keys import BalanceKey, InstanceKey
from ajo.soroban.contract.tokens import METADATA, TokenText
from devtools.sandbox.env import decode, encode
from devtools.sandbox.ledger.accounts import (
    AUTH_CLAWBACK_ENABLED,
    AUTH_REQUIRED,
    AUTHORIZED,
    MAX_BALANCE,
    decode_account,
    decode_trustline,
    encode_account,
    encode_trustline,
    limits,
    trustline_limits,
)
from devtools.sandbox.ledger.keys import account_key, trustline_key
from devtools.sandbox.machine.errors import HostError
from devtools.sandbox.machine.events import string, symbol
from devtools.sandbox.machine.machine import Frame, Machine, Program
from devtools.sandbox.present import present

# The numbers of the asset contract's errors
ACCOUNT_MISSING, NEGATIVE, ALLOWANCE, BALANCE, DEAUTHORIZED, OVERFLOW, NO_TRUSTLINE = 6, 8, 9, 10, 11, 12, 13
_DAY: Final = 17_280  # ledgers
_INSTANCE_LIFE: Final = (6 * _DAY, 7 * _DAY)  # below which an entry's life is lengthened, and to how much
_BALANCE_LIFE: Final = (29 * _DAY, 30 * _DAY)
_VOID: Final = VOID.encode(None)
_ARGUMENTS: Final[dict[str, tuple[Codec[Any], ...]]] = {
    "balance": (ADDRESS,),
    "authorized": (ADDRESS,),
    "transfer": (ADDRESS, ADDRESS, I128),
    "transfer_from": (ADDRESS, ADDRESS, ADDRESS, I128),
    "mint": (ADDRESS, I128),
    "burn": (ADDRESS, I128),
    "decimals": (),
    "name": (),
    "symbol": (),
}


def asset_of(instance: Instance) -> Asset:
    """The asset whose contract it is, from the name that its instance bears: `native` or CODE:ISSUER."""
    text = TokenText.codec.from_xdr(dict(instance.extra)[METADATA]).name.decode()
    if text == "native":
        return Asset.native()
    code, issuer = text.split(":")
    return Asset(code, issuer)


def run_asset(machine: Machine, frame: Frame) -> bytes:
    """A function of an asset's contract; what it lacks of the real one's says that there is no such function."""
    if frame.function not in _ARGUMENTS:
        words = "calling unknown SAC function"
        raise machine.error(HostError("Context", "InvalidAction"), words, symbol(frame.function))
    codecs = _ARGUMENTS[frame.function]
    if len(codecs) != len(frame.args):
        raise machine.error(HostError("Object", "UnexpectedSize"), "wrong number of arguments")
    try:
        values = [codec.read(arg, 0)[0] for codec, arg in zip(codecs, frame.args, strict=True)]
    except (DecodeError, ValueError, TypeError):
        raise HostError("Value", "UnexpectedType") from None
    result: bytes = getattr(AssetContract(machine, frame.contract), frame.function)(*values)
    return result


class AssetContract:
    """One call's view of an asset. Amounts are in the asset's smallest unit."""

    def __init__(self, machine: Machine, contract: str) -> None:
        self._machine = machine
        self._contract = contract
        self._instance: Instance = decode(present(machine.storage.get(InstanceKey().encode(contract))))
        self._asset = asset_of(self._instance)

    # -- its functions

    def balance(self, holder: str) -> bytes:
        self._live_on()
        return I128.encode(self._held(holder))

    def authorized(self, holder: str) -> bytes:
        self._live_on()
        return b"\0\0\0\0" + int(self._is_authorized(holder)).to_bytes(4, "big")

    def transfer(self, sender: str, receiver: str, amount: int) -> bytes:
        self._check_amount(amount)
        self._machine.require_auth(sender)
        self._live_on()
        self._move(sender, receiver, amount)
        return _VOID

    def transfer_from(self, spender: str, sender: str, receiver: str, amount: int) -> bytes:
        """Nobody can give an allowance here: every spender has none."""
        self._check_amount(amount)
        self._machine.require_auth(spender)
        self._live_on()
        if amount > 0:
            raise self._error(ALLOWANCE, "not enough allowance to spend", I128.encode(0), I128.encode(amount))
        self._move(sender, receiver, amount)
        return _VOID

    def mint(self, receiver: str, amount: int) -> bytes:
        self._check_amount(amount)
        self._machine.require_auth(self._asset.issuer or "")
        self._live_on()
        self._add(receiver, amount)
        self._tell(("mint",), (receiver,), amount)
        return _VOID

    def burn(self, holder: str, amount: int) -> bytes:
        self._check_amount(amount)
        self._machine.require_auth(holder)
        self._live_on()
        self._take(holder, amount)
        self._tell(("burn",), (holder,), amount)
        return _VOID

    def decimals(self) -> bytes:
        return U32.encode(self._text.decimal)

    def name(self) -> bytes:
        return STRING.encode(self._text.name)

    def symbol(self) -> bytes:
        return STRING.encode(self._text.symbol)

    # -- its parts

    @property
    def _text(self) -> TokenText:
        found: TokenText = TokenText.codec.from_xdr(dict(self._instance.extra)[METADATA])
        return found

    def _live_on(self) -> None:
        self._machine.storage.extend(InstanceKey().encode(self._contract), *_INSTANCE_LIFE)

    def _error(self, number: int, words: str, *data: bytes) -> HostError:
        return self._machine.error(HostError("Contract", number), words, *data)

    def _check_amount(self, amount: int) -> None:
        if amount < 0:
            raise self._error(NEGATIVE, "negative amount is not allowed", I128.encode(amount))

    def _is_issuer(self, holder: str) -> bool:
        return holder == self._asset.issuer

    def _move(self, sender: str, receiver: str, amount: int) -> None:
        self._take(sender, amount)
        self._add(receiver, amount)
        if self._is_issuer(sender) == self._is_issuer(receiver):
            self._tell(("transfer",), (sender, receiver), amount)
        elif self._is_issuer(sender):
            self._tell(("mint",), (receiver,), amount)
        else:
            self._tell(("burn",), (sender,), amount)

    def _tell(self, names: tuple[str, ...], holders: tuple[str, ...], amount: int) -> None:
        asset = "native" if self._asset.is_native() else f"{self._asset.code}:{self._asset.issuer}"
        topics = (*map(symbol, names), *map(ADDRESS.encode, holders), string(asset))
        self._machine.emit(topics, I128.encode(amount))

    def _held(self, holder: str) -> int:
        if holder.startswith("C"):
            found = self._contract_balance(holder)
            return 0 if found is None else int(found.amount)
        if self._asset.is_native():
            entry = self._machine.storage.get(account_key(holder))
            if entry is None:
                raise self._error(ACCOUNT_MISSING, "account entry is missing", ADDRESS.encode(holder))
            return int(decode_account(entry).balance.int64)
        if self._is_issuer(holder):
            return MAX_BALANCE
        return int(decode_trustline(self._trustline(holder)).balance.int64)

    def _is_authorized(self, holder: str) -> bool:
        if holder.startswith("C"):
            found = self._contract_balance(holder)
            return bool(found.authorized) if found is not None else not self._issuer_flags() & AUTH_REQUIRED
        if self._asset.is_native() or self._is_issuer(holder):
            return True
        return bool(decode_trustline(self._trustline(holder)).flags.uint32 & AUTHORIZED)

    def _take(self, holder: str, amount: int) -> None:
        self._check_authorized(holder)
        if holder.startswith("G"):
            self._add_classic(holder, -self._i64(amount, "spent amount is too large for an i64"))
            return
        found = self._contract_balance(holder)
        if found is None:
            if amount > 0:
                raise self._error(BALANCE, "zero balance is not sufficient to spend", I128.encode(amount))
            return
        if found.amount < amount:
            told = Balance.codec.encode(found), I128.encode(amount)
            raise self._error(BALANCE, "balance is not sufficient to spend", *told)
        self._store(holder, found.amount - amount, found)

    def _add(self, holder: str, amount: int) -> None:
        self._check_authorized(holder)
        if holder.startswith("G"):
            self._add_classic(holder, self._i64(amount, "received amount is too large for an i64"))
            return
        found = self._contract_balance(holder)
        if found is None:
            clawback = not self._asset.is_native() and bool(self._issuer_flags() & AUTH_CLAWBACK_ENABLED)
            found = Balance(0, authorized=True, clawback=clawback)
        if found.amount + amount >= 2**127:
            raise self._error(OVERFLOW, "balance overflow in receive_balance")
        self._store(holder, found.amount + amount, found)

    def _check_authorized(self, holder: str) -> None:
        if not self._is_authorized(holder):
            raise self._error(DEAUTHORIZED, "balance is deauthorized")

    def _i64(self, amount: int, words: str) -> int:
        if amount > MAX_BALANCE:
            raise self._error(OVERFLOW, words)
        return amount

    def _contract_balance(self, holder: str) -> Balance | None:
        key = BalanceKey(holder).encode(self._contract)
        entry = self._machine.storage.get(key)
        if entry is None:
            return None
        self._machine.storage.extend(key, *_BALANCE_LIFE)
        found: Balance = decode(entry)
        return found

    def _store(self, holder: str, amount: int, before: Balance) -> None:
        kept = Balance(amount, authorized=before.authorized, clawback=before.clawback)
        key, entry = encode(self._contract, BalanceKey(holder), kept)
        self._machine.storage.put(key, entry)
        self._machine.storage.extend(key, *_BALANCE_LIFE)

    def _issuer_flags(self) -> int:
        if self._asset.is_native():
            return 0
        entry = self._machine.storage.get(account_key(self._asset.issuer or ""))
        if entry is None:
            raise self._error(ACCOUNT_MISSING, "account entry is missing", ADDRESS.encode(self._asset.issuer or ""))
        return int(decode_account(entry).flags.uint32)

    def _trustline(self, holder: str) -> bytes:
        entry = self._machine.storage.get(trustline_key(holder, self._asset))
        if entry is None:
            raise self._error(NO_TRUSTLINE, "trustline entry is missing for account", ADDRESS.encode(holder))
        return entry

    def _add_classic(self, holder: str, amount: int) -> None:
        if self._is_issuer(holder):
            return
        storage = self._machine.storage
        if self._asset.is_native():
            key = account_key(holder)
            entry = storage.get(key)
            if entry is None:
                raise self._error(ACCOUNT_MISSING, "account entry is missing", ADDRESS.encode(holder))
            account = decode_account(entry)
            span = limits(account, self._machine.info.base_reserve)
            account.balance = Int64(self._within(account.balance.int64 + amount, span))
            storage.put(key, encode_account(account))
            return
        line = decode_trustline(self._trustline(holder))
        line.balance = Int64(self._within(line.balance.int64 + amount, trustline_limits(line)))
        storage.put(trustline_key(holder, self._asset), encode_trustline(line))

    def _within(self, balance: int, span: tuple[int, int]) -> int:
        least, most = span
        if balance > MAX_BALANCE or balance < -MAX_BALANCE - 1:
            raise self._error(BALANCE, "resulting balance overflow")
        if not least <= balance <= most:
            told = (b"\0\0\0\6" + each.to_bytes(8, "big", signed=True) for each in (least, balance, most))
            raise self._error(BALANCE, "resulting balance is not within the allowed range", *told)
        return balance


ASSET: Final = Program(run_asset, "builtin")
