"""Changes to what a sandbox's RPC answers, and counts of what it is asked."""

import json
from collections import Counter
from dataclasses import replace
from typing import Any

from ajo.soroban.contract.entries import Entry, Instance, decode_entry
from ajo.soroban.contract.keys import InstanceKey
from devtools.sandbox.sandbox import Sandbox


def corrupt_answer(sandbox: Sandbox, target: str, change: Any, times: int = 1) -> None:
    """Apply `change` to a copy of what the sandbox answers to the next `times` requests of a method."""
    answer = sandbox.rpc.call
    left = [times]

    def call(method: str, params: Any) -> Any:
        result = answer(method, params)
        if method == target and left[0] > 0:
            left[0] -= 1
            result = json.loads(json.dumps(result))
            change(result)
        return result

    sandbox.rpc.call = call  # type: ignore[method-assign]


def restore_answers(sandbox: Sandbox) -> None:
    """End every change and every count: the sandbox answers as its chain is."""
    vars(sandbox.rpc).pop("call", None)


def count_calls(sandbox: Sandbox) -> Counter[str]:
    """Return a counter of the requests that the sandbox answers from now on, by method."""
    calls: Counter[str] = Counter()
    answer = sandbox.rpc.call

    def call(method: str, params: Any) -> Any:
        calls[method] += 1
        return answer(method, params)

    sandbox.rpc.call = call  # type: ignore[method-assign]
    return calls


def with_group_count(number: int) -> Any:
    """Return a change that gives the contract's own entry another count of groups."""

    def change(answer: dict[str, Any]) -> None:
        for each in answer["entries"]:
            entry = decode_entry(each["xdr"])
            if isinstance(entry.value, Instance):
                fewer = replace(entry.value, group_counter=number)
                each["xdr"] = Entry(entry.contract, InstanceKey(), fewer).to_xdr()

    return change
