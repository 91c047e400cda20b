"""Entries are written again as the contract wrote them, of every version; everything else is a DecodeError."""

import base64
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stellar_sdk import scval
from stellar_sdk.xdr import ContractDataDurability, LedgerEntryData, SCMap, SCMapEntry, SCSymbol, SCValType

from ajo.soroban.contract import DecodeError
from ajo.soroban.contract.entries import Entry, Group, Instance, InsurancePool, Metadata, decode_entry, printable
from ajo.soroban.contract.keys import ContribKey, GroupKey, InstanceKey, MetadataKey, decode_key
from tests.support.contract_values import ALICE, CONTRACT, WALLET, build_group, groups
from tests.support.recordings import document, entries


def group_map(xdr: str) -> tuple[LedgerEntryData, SCMap]:
    data = LedgerEntryData.from_xdr(xdr)
    assert data.contract_data is not None
    assert data.contract_data.val.map is not None
    return data, data.contract_data.val.map


def test_every_recorded_key_and_entry_is_written_again_as_it_was() -> None:
    count = 0
    for key, xdr in entries():
        contract, found = decode_key(key)
        entry = decode_entry(xdr)
        assert found.to_xdr(contract) == key
        assert entry.to_xdr() == xdr
        assert (entry.contract, entry.key) == (contract, found)
        count += 1
    assert count > 1000


def test_a_group_of_any_age_is_read_with_what_it_lacks_as_none() -> None:
    for each in document("older-groups.json")["entries"]:
        group = decode_entry(each["xdr"]).value
        assert isinstance(group, Group)
        absent = [group.grace_period, group.penalty_rate, group.state, group.token_address, group.insurance_config]
        present = sum(value is not None for value in (*absent, group.is_cancelled)) + 11
        assert present == each["fields"]


def test_a_group_keeps_the_fields_that_nobody_knows() -> None:
    entry = Entry(CONTRACT, GroupKey(1), build_group())
    data, fields = group_map(entry.to_xdr())
    fields.sc_map.insert(
        0, SCMapEntry(scval.to_symbol("access"), scval.to_map({scval.to_symbol("a"): scval.to_void()}))
    )
    decoded = decode_entry(data.to_xdr())
    assert isinstance(decoded.value, Group)
    assert [name for name, _ in decoded.value.extra] == ["access"]
    assert decoded.to_xdr() == data.to_xdr()


@pytest.mark.parametrize("name", ["members", "is_complete", "contribution_amount"])
def test_a_group_without_a_field_that_every_version_wrote_is_refused(name: str) -> None:
    data, fields = group_map(Entry(CONTRACT, GroupKey(1), build_group()).to_xdr())
    fields.sc_map = [each for each in fields.sc_map if each.key.sym != SCSymbol(name.encode())]
    with pytest.raises(DecodeError, match=name):
        decode_entry(data.to_xdr())


def test_a_field_of_another_type_is_refused() -> None:
    data, fields = group_map(Entry(CONTRACT, GroupKey(1), build_group()).to_xdr())
    fields.sc_map[0].val = scval.to_uint64(10)
    with pytest.raises(DecodeError, match="SCV_I128"):
        decode_entry(data.to_xdr())


def test_a_map_out_of_order_is_refused() -> None:
    data, fields = group_map(Entry(CONTRACT, GroupKey(1), build_group()).to_xdr())
    fields.sc_map.reverse()
    with pytest.raises(DecodeError):
        decode_entry(data.to_xdr())


def test_a_temporary_entry_is_refused() -> None:
    data, _ = group_map(Entry(CONTRACT, GroupKey(1), build_group()).to_xdr())
    assert data.contract_data is not None
    data.contract_data.durability = ContractDataDurability.TEMPORARY
    with pytest.raises(DecodeError, match="persistent"):
        decode_entry(data.to_xdr())


@given(groups)
def test_any_group_survives_the_way_there_and_back(group: Group) -> None:
    entry = Entry(CONTRACT, GroupKey(group.id), group)
    assert decode_entry(entry.to_xdr()) == entry


@given(st.binary(max_size=60), st.binary(max_size=60), st.binary(max_size=60))
def test_any_bytes_survive_as_texts(name: bytes, description: bytes, rules: bytes) -> None:
    entry = Entry(CONTRACT, MetadataKey(1), Metadata(name, description, rules))
    assert decode_entry(entry.to_xdr()) == entry


@given(st.binary(max_size=80))
def test_printable_text_can_be_stored_and_shown(raw: bytes) -> None:
    shown = printable(raw)
    assert "\0" not in shown
    assert shown.encode().decode() == shown


def test_printable_leaves_good_text_alone_and_marks_what_is_not() -> None:
    assert printable("Ọjà 寿司 🌾".encode()) == "Ọjà 寿司 🌾"
    assert printable(b"a\0b\xffc") == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c"


def test_the_largest_and_smallest_amounts_are_exact() -> None:
    for amount in (2**127 - 1, -(2**127), 0, -1, 2**64):
        entry = Entry(
            CONTRACT, GroupKey(1), replace(build_group(), contribution_amount=amount, cycle_duration=2**64 - 1)
        )
        assert decode_entry(entry.to_xdr()) == entry


def test_the_status_of_a_group_is_complete_before_it_is_cancelled() -> None:
    group = build_group()
    assert group.status == "active"
    assert replace(group, state=1).status == "cancelled"
    assert replace(group, state=None, is_cancelled=True).status == "cancelled"
    assert replace(group, state=1, is_complete=True).status == "completed"


@given(st.data())
def test_a_damaged_entry_is_refused_or_means_what_it_says(data: st.DataObject) -> None:
    raw = bytearray(base64.b64decode(Entry(CONTRACT, GroupKey(1), build_group()).to_xdr()))
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    text = base64.b64encode(bytes(raw)).decode()
    try:
        assert decode_entry(text).to_xdr() == text
    except DecodeError:
        assert text != Entry(CONTRACT, GroupKey(1), build_group()).to_xdr()


def test_what_nobody_knows_in_an_instance_is_kept_in_the_hosts_order() -> None:
    """By type, then by value, not by length: the order of symbols and of vectors of them."""
    pool = InsurancePool(1, 2, 3)
    known = Instance("00" * 32, ALICE, group_counter=2, paused=False, insurance_pools=((WALLET, pool),))
    entry = Entry(CONTRACT, InstanceKey(), replace(known, explicit=("paused",)))
    data = LedgerEntryData.from_xdr(entry.to_xdr())
    assert data.contract_data is not None
    assert data.contract_data.val.instance is not None
    assert data.contract_data.val.instance.storage is not None
    stored = data.contract_data.val.instance.storage.sc_map
    assert [each.key.type for each in stored] == [SCValType.SCV_SYMBOL] * 3 + [SCValType.SCV_VEC]
    nothing = scval.to_void()
    stored.insert(2, SCMapEntry(scval.to_symbol("NEWCOMERS"), nothing))
    stored.insert(4, SCMapEntry(scval.to_symbol("Z"), nothing))
    stored.insert(5, SCMapEntry(scval.to_vec([scval.to_symbol("INS")]), nothing))
    stored.append(SCMapEntry(scval.to_vec([scval.to_symbol("Z"), scval.to_uint32(1)]), nothing))
    found = decode_entry(data.to_xdr())
    assert found.to_xdr() == data.to_xdr()
    assert replace(found.value, extra=()) == entry.value
    assert len(found.value.extra) == 4
    stored.reverse()
    with pytest.raises(DecodeError):
        decode_entry(data.to_xdr())


def test_an_instance_with_a_known_value_of_another_type_is_refused() -> None:
    raw = base64.b64decode(Entry(CONTRACT, InstanceKey(), Instance(None, paused=True)).to_xdr())
    with pytest.raises(DecodeError, match="SCV_BOOL"):
        decode_entry(base64.b64encode(raw[:-8] + scval.to_uint32(1).to_xdr_bytes()).decode())


def test_a_mark_that_says_false_is_refused() -> None:
    marked = Entry(CONTRACT, ContribKey(1, 1, ALICE), True)
    raw = base64.b64decode(marked.to_xdr())
    with pytest.raises(DecodeError):
        decode_entry(base64.b64encode(raw[:-1] + b"\0").decode())
