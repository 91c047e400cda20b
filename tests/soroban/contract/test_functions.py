"""Arguments, results and errors of the contract's functions."""

import pytest
from stellar_sdk.xdr import SCVal, SCValType

from ajo.soroban.contract import DecodeError
from ajo.soroban.contract.contract_errors import ContractError
from ajo.soroban.contract.functions import FUNCTIONS, decode_args, decode_result, encode_args, encode_result
from tests.support.contract_values import ALICE
from tests.support.recordings import steps


def test_every_recorded_argument_and_result_is_written_again_as_it_was() -> None:
    called = set()
    for head, step in steps():
        fn = step["fn"]
        if step.get("on", head["contract"]) != head["contract"]:
            continue
        called.add(fn)
        assert encode_args(fn, decode_args(fn, step["args"])) == step["args"]
        if "result" in step:
            assert encode_result(fn, decode_result(fn, step["result"])) == step["result"]
    assert called == set(FUNCTIONS)


def test_arguments_out_of_range_or_of_another_name_are_refused_by_name() -> None:
    good = {"member": ALICE, "group_id": 1}
    assert decode_args("join_group", encode_args("join_group", good)) == good
    for values in ({"member": ALICE}, {**good, "x": 1}, {**good, "group_id": 2**64}, {**good, "member": "M…"}):
        with pytest.raises(ValueError, match=r"group_id|argument x|member"):
            encode_args("join_group", values)
    with pytest.raises(DecodeError):
        decode_args("join_group", encode_args("join_group", good)[:1])
    with pytest.raises(DecodeError):
        decode_args("no_such_function", [])
    with pytest.raises(DecodeError):
        decode_result("get_group", SCVal(SCValType.SCV_VOID).to_xdr())


def test_the_contracts_errors_are_the_44_of_its_source() -> None:
    assert [each.value for each in ContractError] == list(range(1, 45))
