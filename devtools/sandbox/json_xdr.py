"""XDR as JSON, as `xdrFormat: json` of stellar-rpc v24 shows it: SEP-51 with some names of its own."""

import re
from typing import Any, Final

from stellar_sdk import StrKey

_CODE: Final = re.compile(r"(tx|op)_?(.+)")
_EVENT: Final = {"ext", "contract_id", "type", "body"}


def to_json(value: Any) -> Any:
    """A value of stellar-sdk's XDR classes."""
    return _renamed(value.to_json_dict())


def result_json(value: Any) -> Any:
    """A TransactionResult, whose codes are written `tx_…` and `op_…`."""
    return _with_codes(value.to_json_dict())


def _renamed(value: Any) -> Any:
    if isinstance(value, list):
        return [_renamed(each) for each in value]
    if not isinstance(value, dict):
        return value
    found = {name: _renamed(each) for name, each in value.items()}
    if found.keys() == _EVENT:
        raw = found["contract_id"]
        contract = None if raw is None else StrKey.encode_contract(bytes.fromhex(raw))
        return {"ext": found["ext"], "contract_id": contract, "type_": found["type"], "body": found["body"]}
    return found


def _with_codes(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_codes(each) for each in value]
    if isinstance(value, dict):
        return {_coded(name): _with_codes(each) for name, each in value.items()}
    return _coded(value) if isinstance(value, str) else value


def _coded(name: str) -> str:
    found = _CODE.fullmatch(name)
    return name if found is None else f"{found[1]}_{found[2]}"
