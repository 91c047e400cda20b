"""Calls of the contract: one function with its arguments, put into an envelope's operation and read out of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from stellar_sdk import Address, InvokeHostFunction, TransactionEnvelope
from stellar_sdk.xdr import (
    HostFunction,
    HostFunctionType,
    InvokeContractArgs,
    SCSymbol,
    SCVal,
    SorobanAuthorizationEntry,
)

from ajo.soroban.contract import DecodeError
from ajo.soroban.contract.functions import WRITES, decode_args, encode_args
from ajo.transactions.arguments import group_of


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a function that writes.

    `args` are Python values by name (ints, strkeys, bytes of texts), `args_xdr` the same as base64 SCVals in the
    contract's order.
    """

    function: str
    args: dict[str, Any]
    args_xdr: tuple[str, ...]

    @property
    def group(self) -> int | None:
        """Return the group that it names; None for a new one's and for calls that name none."""
        return group_of(self.function, self.args)

    def invocation(self) -> InvokeContractArgs:
        """Return what an operation, and the root of an authorization, says of it."""
        return InvokeContractArgs(
            contract_address=Address(settings.AJO_CONTRACT_ID).to_xdr_sc_address(),
            function_name=SCSymbol(self.function.encode()),
            args=[SCVal.from_xdr(each) for each in self.args_xdr],
        )

    def operation(self, auth: list[SorobanAuthorizationEntry] | None = None) -> InvokeHostFunction:
        """Return the operation that makes the call, with its authorization entries."""
        function = HostFunction(HostFunctionType.HOST_FUNCTION_TYPE_INVOKE_CONTRACT, invoke_contract=self.invocation())
        return InvokeHostFunction(function, auth or [])


def make_call(function: str, args: dict[str, Any]) -> Call:
    """Return the call of a function with arguments as parse_args returns them."""
    return Call(function, args, tuple(encode_args(function, args)))


def read_call(envelope: TransactionEnvelope) -> Call:
    """Return the call that an envelope makes, as this service lets one through.

    Raises ValueError, with a sentence for people, for anything but one invocation of this contract's known functions.
    """
    operations = envelope.transaction.operations
    if len(operations) != 1:
        raise ValueError(f"A transaction with one operation is expected, not {len(operations)}.")
    (operation,) = operations
    if not isinstance(operation, InvokeHostFunction):
        raise ValueError("Its operation does not invoke a contract.")
    invoked = operation.host_function.invoke_contract
    if invoked is None:
        raise ValueError("Its operation does not invoke a contract.")
    if invoked.contract_address != Address(settings.AJO_CONTRACT_ID).to_xdr_sc_address():
        raise ValueError(f"It calls another contract than {settings.AJO_CONTRACT_ID}.")
    function = invoked.function_name.sc_symbol.decode("ascii", "replace")
    if function not in WRITES:
        raise ValueError(f"The contract has no function {function[:32]} that writes.")
    args_xdr = tuple(each.to_xdr() for each in invoked.args)
    try:
        return Call(function, decode_args(function, args_xdr), args_xdr)
    except DecodeError as error:
        raise ValueError(f"These are no arguments of {function}: {error}.") from error
