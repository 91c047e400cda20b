"""The tree of invocations that an authorization allows."""

from dataclasses import dataclass, field
from typing import Any

from stellar_sdk.xdr import SorobanAuthorizedInvocation

from ajo.soroban.contract.codec import ADDRESS, SYMBOL, encode_address, opaque, read_address
from devtools.sandbox.ledger.keys import scmap, symbol_vec


@dataclass(slots=True)
class Invocation:
    """A call: contract, function, arguments as SCVals. `raw`: another host function's XDR, in place of a call.

    `used`: a frame has been matched with it, and a node lets one frame pass.
    """

    contract: str
    function: str
    args: tuple[bytes, ...]
    raw: bytes = b""
    children: list["Invocation"] = field(default_factory=list)
    used: bool = False

    def is_same(self, other: "Invocation") -> bool:
        mine = self.contract, self.function, self.args, self.raw
        return mine == (other.contract, other.function, other.args, other.raw)


def encode_invocation(node: Invocation) -> bytes:
    """SorobanAuthorizedInvocation."""
    children = len(node.children).to_bytes(4, "big") + b"".join(encode_invocation(each) for each in node.children)
    if node.raw:
        return node.raw + children
    args = len(node.args).to_bytes(4, "big") + b"".join(node.args)
    return bytes(4) + encode_address(node.contract) + opaque(node.function.encode()) + args + children


def decode_invocation(found: SorobanAuthorizedInvocation) -> Invocation:
    children = [decode_invocation(each) for each in found.sub_invocations]
    call = found.function.contract_fn
    if call is None:
        return Invocation("", "", (), found.function.to_xdr_bytes(), children)
    contract = read_address(call.contract_address.to_xdr_bytes(), 0)[0]
    args = tuple(each.to_xdr_bytes() for each in call.args)
    return Invocation(contract, call.function_name.sc_symbol.decode(errors="replace"), args, b"", children)


def contexts(node: Invocation) -> bytes:
    """SCVal of the whole tree as `__check_auth` gets it: every invocation, a parent before its children."""
    return symbol_vec(*_contexts(node))


def _contexts(node: Invocation) -> list[bytes]:
    told: dict[str, Any] = {
        "args": symbol_vec(*node.args),
        "contract": ADDRESS.encode(node.contract),
        "fn_name": SYMBOL.encode(node.function),
    }
    mine = symbol_vec(SYMBOL.encode("Contract"), scmap(told))
    return [mine, *(each for child in node.children for each in _contexts(child))]
