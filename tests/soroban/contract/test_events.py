"""Events of the contract are read and written as they were; unknown ones are kept, malformed ones refused."""

import base64
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stellar_sdk import scval
from stellar_sdk.xdr import SCValType

from ajo.soroban.contract import DecodeError
from ajo.soroban.contract.events import Created, Unknown, Upgraded, decode_event
from tests.support.contract_values import ALICE
from tests.support.recordings import steps


def test_every_recorded_event_is_known_and_written_again_as_it_was() -> None:
    names = set()
    for head, step in steps():
        for event in step.get("events", ()):
            found = decode_event(event["topics"], event["value"])
            assert found.encode() == (tuple(event["topics"]), event["value"])
            if event["contract"] == head["contract"]:
                assert not isinstance(found, Unknown)
                names.add(found.name)
    assert {"created", "joined", "contrib", "payout", "complete", "cancel", "refreq", "refvote", "refund"} <= names


@given(st.lists(st.binary(max_size=60).map(lambda raw: base64.b64encode(raw).decode()), max_size=4), st.booleans())
def test_a_garbage_event_raises_nothing_but_a_decode_error(topics: list[str], system: bool) -> None:
    with pytest.raises(DecodeError):
        decode_event(topics, "AAAA", system=system)


def test_a_value_nested_beyond_reason_is_a_decode_error() -> None:
    nested = struct.pack(">iII", SCValType.SCV_VEC.value, 1, 1) * 5000 + struct.pack(">i", SCValType.SCV_VOID.value)
    with pytest.raises(DecodeError):
        decode_event([base64.b64encode(nested).decode()], scval.to_void().to_xdr())


def test_an_event_of_a_known_name_with_other_data_is_refused() -> None:
    topics = [scval.to_symbol("created").to_xdr(), scval.to_uint64(1).to_xdr()]
    with pytest.raises(DecodeError):
        decode_event(topics, scval.to_void().to_xdr())
    with pytest.raises(DecodeError, match="topics"):
        decode_event(topics[:1], scval.to_void().to_xdr())


def test_an_event_of_an_unknown_name_is_kept_as_it_came() -> None:
    topics = [scval.to_symbol("surprise").to_xdr(), scval.to_uint64(1).to_xdr()]
    found = decode_event(topics, scval.to_void().to_xdr())
    assert isinstance(found, Unknown)
    assert (found.name, found.group_id, found.encode()) == ("surprise", None, (tuple(topics), scval.to_void().to_xdr()))
    assert decode_event([], scval.to_void().to_xdr()).name == ""


def test_the_upgrade_is_read_from_the_system_event_only() -> None:
    upgraded = Upgraded("00" * 32, "11" * 32)
    topics, value = upgraded.encode()
    assert decode_event(topics, value, system=True) == upgraded
    assert isinstance(decode_event(topics, value), Unknown)


def test_the_data_of_an_event_is_fit_for_json() -> None:
    event = Created(7, ALICE, 2**100, 12)
    assert event.data() == {"creator": ALICE, "contribution_amount": str(2**100), "max_members": 12}
