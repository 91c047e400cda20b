"""What the contracts of the sandbox run: the Ajo contract, a router, a wallet, an ordinary token."""

import base64
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from ajo.soroban.contract import DecodeError
from ajo.soroban.contract.codec import ADDRESS, BYTES, I128, SYMBOL, U32, U64, VOID, Codec, b64, vec_of
from ajo.soroban.contract.entries import Instance
from ajo.soroban.contract.functions import FUNCTIONS, decode_args, encode_result
from ajo.soroban.contract.keys import InstanceKey
from devtools.sandbox.contract import Ajo
from devtools.sandbox.env import CallFailed, Env
from devtools.sandbox.machine.asset import ASSET
from devtools.sandbox.machine.errors import HostError
from devtools.sandbox.machine.events import symbol
from devtools.sandbox.machine.machine import Frame, Machine, Program
from devtools.sandbox.machine.signatures import CHECK_AUTH, verify
from devtools.sandbox.token import PlainToken

_VOID: Final = VOID.encode(None)
# Views that no client of ours asks for: the binding leaves them out.
_UNBOUND: Final[dict[str, tuple[tuple[Codec[Any], ...], Codec[Any]]]] = {
    "get_contribution_detail": ((U64, U32, ADDRESS), VOID),
    "get_cycle_penalty_pool": ((U64, U32), I128),
}
WALLET_KEY: Final = SYMBOL.to_xdr("KEY")


@dataclass(frozen=True, slots=True)
class Contracts:
    """The addresses of the contracts that the host runs. `token` is one with plain balances, None for none."""

    ajo: str
    token: str
    router: str
    wallets: frozenset[str] = frozenset()
    hashes: tuple[tuple[str, str], ...] = ()  # of code that is known, and the name of its program


def no_function(machine: Machine, frame: Frame) -> HostError:
    words = "trying to invoke non-existent contract function"
    return machine.error(HostError("WasmVm", "MissingValue"), words, symbol(frame.function))


def check_count(machine: Machine, frame: Frame, count: int) -> None:
    if len(frame.args) != count:
        words = "VM call failed: Func(MismatchingParameterLen)"
        raise machine.error(HostError("WasmVm", "UnexpectedSize"), words, symbol(frame.function))


def arguments(machine: Machine, frame: Frame, codecs: tuple[Codec[Any], ...]) -> list[Any]:
    """Decoded arguments; the contract's code traps on those of another type."""
    check_count(machine, frame, len(codecs))
    try:
        return [codec.from_xdr(b64(arg)) for codec, arg in zip(codecs, frame.args, strict=True)]
    except DecodeError:
        raise CallFailed("trap") from None


def run_ajo(machine: Machine, frame: Frame) -> bytes:
    if frame.function in _UNBOUND:
        codecs, result_codec = _UNBOUND[frame.function]
        found = getattr(Ajo(Env(machine, frame.contract)), frame.function)(*arguments(machine, frame, codecs))
        return result_codec.encode(found)
    if frame.function not in FUNCTIONS:
        raise no_function(machine, frame)
    check_count(machine, frame, len(FUNCTIONS[frame.function].args))
    try:
        values = decode_args(frame.function, [b64(each) for each in frame.args])
    except DecodeError:
        raise CallFailed("trap") from None
    if frame.function == "upgrade" and len(values["new_wasm_hash"]) != 32:
        raise CallFailed("trap")
    result = getattr(Ajo(Env(machine, frame.contract)), frame.function)(**values)
    try:
        return base64.b64decode(encode_result(frame.function, result))
    except OverflowError:
        raise CallFailed("trap") from None


def run_router(machine: Machine, frame: Frame) -> bytes:
    """`contribute_all(ajo, members, group_ids)`: one `contribute` for each pair; one that fails fails them all."""
    if frame.function != "contribute_all":
        raise no_function(machine, frame)
    target, members, group_ids = arguments(machine, frame, (ADDRESS, vec_of(ADDRESS), vec_of(U64)))
    for place, member in enumerate(members):
        if place >= len(group_ids):
            raise CallFailed("trap")
        machine.call(target, "contribute", [ADDRESS.encode(member), U64.encode(group_ids[place])])
    return _VOID


def run_wallet(machine: Machine, frame: Frame) -> bytes:
    """A contract account of one ed25519 key, `init(key)`; its signature is the 64 bytes over the payload."""
    if frame.function == "init":
        (key,) = arguments(machine, frame, (BYTES,))
        env = Env(machine, frame.contract)
        instance = env.get(InstanceKey())
        env.put(InstanceKey(), replace(instance, extra=((WALLET_KEY, BYTES.to_xdr(key)),)))
        return _VOID
    if frame.function != CHECK_AUTH:
        raise no_function(machine, frame)
    check_count(machine, frame, 3)
    payload, signature = arguments(machine, replace_args(frame, frame.args[:2]), (BYTES, BYTES))
    stored = dict(Env(machine, frame.contract).get(InstanceKey()).extra).get(WALLET_KEY)
    if stored is None or len(signature) != 64:
        raise CallFailed("trap")
    with machine.host_function("verify_sig_ed25519"):
        verify(machine, BYTES.from_xdr(stored), payload, signature)
    return _VOID


def replace_args(frame: Frame, args: list[bytes]) -> Frame:
    return Frame(frame.contract, frame.function, args, frame.program)


def run_token(machine: Machine, frame: Frame) -> bytes:
    token = PlainToken(machine, frame.contract)
    if frame.function == "balance":
        (holder,) = arguments(machine, frame, (ADDRESS,))
        return I128.encode(token.balance(holder))
    if frame.function != "transfer":
        raise no_function(machine, frame)
    sender, receiver, amount = arguments(machine, frame, (ADDRESS, ADDRESS, I128))
    with machine.host_function("require_auth"):
        machine.require_auth(sender)
    token.transfer(sender, receiver, amount)
    return _VOID


AJO: Final = Program(run_ajo, "ajo")
ROUTER: Final = Program(run_router, "router")
WALLET: Final = Program(run_wallet, "wallet")
TOKEN: Final = Program(run_token, "router")
_BY_NAME: Final = {"ajo": AJO, "router": ROUTER, "wallet": WALLET}


def programs(contracts: Contracts, *, plain_token: bool = False) -> Callable[[str, Instance], Program | None]:
    """What runs at an address with an instance: by address, else by the hash of its code."""
    fixed = {contracts.ajo: AJO, contracts.router: ROUTER, **dict.fromkeys(contracts.wallets, WALLET)}
    if plain_token:
        fixed[contracts.token] = TOKEN
    hashes = dict(contracts.hashes)

    def find(address: str, instance: Instance) -> Program | None:
        if address in fixed:
            return fixed[address]
        if instance.wasm_hash is None:
            return ASSET
        return _BY_NAME.get(hashes.get(instance.wasm_hash, ""))

    return find
