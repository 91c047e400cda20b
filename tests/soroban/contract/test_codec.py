"""The codec writes and reads what stellar-sdk does; whatever is damaged is refused, or means what it says."""

import base64
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stellar_sdk import scval
from stellar_sdk.xdr import SCVal

from ajo.soroban.contract import DecodeError
from ajo.soroban.contract.codec import ADDRESS, BOOL, BYTES, I128, STRING, U32, U64, VOID, Codec, vec_of
from ajo.soroban.contract.entries import decode_entry
from ajo.soroban.contract.events import decode_event
from ajo.soroban.contract.keys import decode_key
from ajo.soroban.contract.tokens import token_metadata
from tests.support.contract_values import addresses, damage_xdr, u32, u64
from tests.support.recordings import entries, steps


@given(st.integers(-(2**127), 2**127 - 1), u64, u32, st.booleans(), st.binary(max_size=40), addresses)
def test_every_type_is_the_bytes_that_stellar_sdk_writes(
    signed: int, large: int, small: int, flag: bool, raw: bytes, wallet: str
) -> None:
    pairs: list[tuple[Codec[Any], Any, SCVal]] = [
        (I128, signed, scval.to_int128(signed)),
        (U64, large, scval.to_uint64(large)),
        (U32, small, scval.to_uint32(small)),
        (BOOL, flag, scval.to_bool(flag)),
        (BYTES, raw, scval.to_bytes(raw)),
        (STRING, raw, scval.to_string(raw)),
        (ADDRESS, wallet, scval.to_address(wallet)),
        (VOID, None, scval.to_void()),
        (vec_of(U32), (small, 7), scval.to_vec([scval.to_uint32(small), scval.to_uint32(7)])),
    ]
    for codec, value, expected in pairs:
        assert codec.to_xdr(value) == expected.to_xdr()
        assert codec.from_xdr(expected.to_xdr()) == value
        for other, _, _ in pairs:
            if other.name != codec.name:
                with pytest.raises(DecodeError):
                    other.from_xdr(expected.to_xdr())


@given(st.binary(max_size=200))
def test_garbage_raises_nothing_but_a_decode_error(raw: bytes) -> None:
    text = base64.b64encode(raw).decode()
    for read in (decode_key, decode_entry, token_metadata):
        with pytest.raises(DecodeError):
            read(text)


@given(st.text(max_size=60))
def test_text_that_is_not_base64_raises_nothing_but_a_decode_error(text: str) -> None:
    for read in (decode_key, decode_entry, token_metadata):
        with pytest.raises(DecodeError):
            read(text)


RECORDED = [xdr for _, xdr in entries()]
ANNOUNCED = [(each["topics"], each["value"]) for _, step in steps() for each in step.get("events", ())]


@given(st.data())
def test_whatever_is_damaged_is_refused_or_means_what_it_says(data: st.DataObject) -> None:
    text = damage_xdr(data, data.draw(st.sampled_from(RECORDED)))
    with suppress(DecodeError):
        assert decode_entry(text).to_xdr() == text
    topics, value = data.draw(st.sampled_from(ANNOUNCED))
    topics, value = [damage_xdr(data, each) for each in topics], damage_xdr(data, value)
    with suppress(DecodeError):
        assert decode_event(topics, value).encode() == (tuple(topics), value)
