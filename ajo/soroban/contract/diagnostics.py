"""Whose refusal a failed call is: the number from the host's error, the contract from the diagnostic events.

A token's number comes through Ajo unchanged, so the number alone says nothing (docs/chain.md §1.4).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from stellar_sdk import StrKey
from stellar_sdk.xdr import DiagnosticEvent, SCErrorType, SCVal, SCValType

from ajo.soroban.contract.codec import XDR_FAULTS

_LINE: Final = re.compile(r"HostError: Error\((?P<kind>\w+), (?:#(?P<number>[0-9]+)|(?P<code>\w+))\)")


@dataclass(frozen=True, slots=True)
class HostFailure:
    """Why the host ended a call: `Error(Contract, #number)`, or `Error(kind, code)` of the host's own.

    `contract` raised it; None where no diagnostic event says so, as where an operator's core emits none.
    """

    kind: str
    code: str
    number: int | None
    contract: str | None

    @property
    def is_trap(self) -> bool:
        """Return whether the contract's code panicked, as on overflow: a refusal without a number."""
        return (self.kind, self.code) == ("WasmVm", "InvalidAction")


def read_error_line(line: str, events: Sequence[str]) -> HostFailure | None:
    """Return the failure of a simulation from its first line and its events (base64, oldest first).

    None where the line is not the host's.
    """
    match = _LINE.match(line)
    if match is None:
        return None
    number = match["number"]
    errors = _errors(events)
    return HostFailure(match["kind"], match["code"] or "", int(number) if number else None, _innermost(errors))


def read_failed_transaction(events: Sequence[str]) -> HostFailure | None:
    """Return the failure of an applied transaction from its diagnostic events (base64, oldest first).

    None where there are none that say.
    """
    errors = _errors(events)
    # core ends the host's events with `host_fn_failed`; `core_metrics` follow
    last = next((error for name, _, error in reversed(errors) if error is not None and name == "host_fn_failed"), None)
    last = last or next((error for _, _, error in reversed(errors) if error is not None), None)
    if last is None:
        return None
    kind, code, number = last
    return HostFailure(kind, code, number, _innermost(errors))


_Error = tuple[str, str, int | None]  # kind, code, number


def _innermost(errors: Sequence[tuple[str, str | None, _Error | None]]) -> str | None:
    return next((contract for name, contract, _ in errors if name == "error" and contract is not None), None)


def _errors(events: Sequence[str]) -> list[tuple[str, str | None, _Error | None]]:
    """Return name, contract and error of the events that tell of one. Events that cannot be read are passed over."""
    found = []
    for text in events:
        try:
            event = DiagnosticEvent.from_xdr(text).event
            topics = event.body.v0.topics if event.body.v0 else []
            name = topics[0].sym.sc_symbol.decode() if topics and topics[0].sym else ""
        except XDR_FAULTS:
            continue
        if name in ("error", "host_fn_failed"):
            contract = event.contract_id
            found.append(
                (
                    name,
                    StrKey.encode_contract(contract.contract_id.hash) if contract else None,
                    _error(topics[1]) if len(topics) > 1 else None,
                )
            )
    return found


def _error(value: SCVal) -> _Error | None:
    if value.type != SCValType.SCV_ERROR or value.error is None:
        return None
    error: Any = value.error
    kind = _words(error.type.name.removeprefix("SCE_"))
    if error.type == SCErrorType.SCE_CONTRACT:
        return kind, "", int(error.contract_code.uint32)
    return kind, _words(error.code.name.removeprefix("SCEC_")), None


def _words(name: str) -> str:
    """Write an XDR name as the host does: WASM_VM as WasmVm, EXCEEDED_LIMIT as ExceededLimit."""
    return "".join(word.capitalize() for word in name.split("_"))
