"""The binding takes everything the real contract wrote, both ways, and refuses everything else in one way."""

import base64
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stellar_sdk import Address, Keypair, StrKey, scval
from stellar_sdk.xdr import (
    ContractDataDurability,
    LedgerEntryData,
    LedgerEntryType,
    LedgerKey,
    LedgerKeyContractData,
    SCMap,
    SCMapEntry,
    SCSymbol,
    SCVal,
    SCValType,
)

from ajo.soroban.contract import DecodeError
from ajo.soroban.contract.codec import ADDRESS, BOOL, BYTES, I128, STRING, U32, U64, VOID, Codec, vec_of
from ajo.soroban.contract.contract_errors import ContractError
from ajo.soroban.contract.entries import (
    Entry,
    Group,
    Instance,
    InsuranceConfig,
    InsurancePool,
    Metadata,
    decode_entry,
    printable,
)
from ajo.soroban.contract.events import Created, Unknown, Upgraded, decode_event
from ajo.soroban.contract.functions import FUNCTIONS, decode_args, decode_result, encode_args, encode_result
from ajo.soroban.contract.keys import (
    ContribKey,
    GroupKey,
    InstanceKey,
    InsuranceClaimKey,
    Key,
    MetadataKey,
    PayoutKey,
    RefundKey,
    RefundRequestKey,
    RefundVoteKey,
    decode_key,
    numbered_keys,
)
from ajo.soroban.contract.tokens import token_metadata
from devtools.sandbox import token
from tests.support.recordings import document, entries, steps

CONTRACT = StrKey.encode_contract(bytes(32))
ALICE = Keypair.from_raw_ed25519_seed(b"\1" * 32).public_key
WALLET = StrKey.encode_contract(b"\2" * 32)

addresses = st.binary(min_size=32, max_size=32).flatmap(
    lambda raw: st.sampled_from([StrKey.encode_contract(raw), StrKey.encode_ed25519_public_key(raw)])
)
u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**64 - 1)
i128 = st.integers(-(2**127), 2**127 - 1)
groups = st.builds(
    Group,
    id=u64,
    creator=addresses,
    contribution_amount=i128,
    cycle_duration=u64,
    max_members=u32,
    members=st.lists(addresses, max_size=5).map(tuple),
    current_cycle=u32,
    payout_index=u32,
    created_at=u64,
    cycle_start_time=u64,
    is_complete=st.booleans(),
    grace_period=st.none() | u64,
    penalty_rate=st.none() | u32,
    state=st.none() | u32,
    token_address=st.none() | addresses,
    insurance_config=st.none() | st.builds(InsuranceConfig, is_enabled=st.booleans(), rate_bps=u32),
    is_cancelled=st.none() | st.booleans(),
)


def a_group() -> Group:
    return Group(1, ALICE, 10, 60, 5, (ALICE, WALLET), 1, 0, 0, 0, False, 0, 0, 0, WALLET, InsuranceConfig(False, 0))


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


def keys_and_their_scvals() -> Iterator[tuple[Key, SCVal]]:
    """Every kind of key with the least, the largest and an ordinary number, and stellar-sdk's objects for it."""
    yield InstanceKey(), SCVal(SCValType.SCV_LEDGER_KEY_CONTRACT_INSTANCE)
    one: dict[str, Callable[[int], Key]] = {
        "GROUP": GroupKey,
        "METADATA": MetadataKey,
        "REFREQ": RefundRequestKey,
        "INSCLAIM": InsuranceClaimKey,
    }
    two: dict[str, Callable[[int, str], Key]] = {"PAYOUT": PayoutKey, "REFVOTE": RefundVoteKey, "REFUND": RefundKey}
    for number in (0, 1, 2**32, 2**64 - 1):
        head = [scval.to_uint64(number)]
        for name, kind in one.items():
            yield kind(number), scval.to_vec([scval.to_symbol(name), *head])
        for wallet in (ALICE, WALLET):
            tail = [scval.to_address(wallet)]
            for name, wallet_search in two.items():
                yield wallet_search(number, wallet), scval.to_vec([scval.to_symbol(name), *head, *tail])
            for cycle in (0, 1, 2**32 - 1):
                paid = [scval.to_symbol("CONTRIB"), *head, scval.to_uint32(cycle), *tail]
                yield ContribKey(number, cycle, wallet), scval.to_vec(paid)


def test_every_key_is_the_bytes_that_stellar_sdk_writes() -> None:
    for contract in (CONTRACT, WALLET):
        for key, value in keys_and_their_scvals():
            data = LedgerKeyContractData(
                Address(contract).to_xdr_sc_address(), value, ContractDataDurability.PERSISTENT
            )
            expected = LedgerKey(LedgerEntryType.CONTRACT_DATA, contract_data=data).to_xdr()
            assert key.to_xdr(contract) == expected
            assert decode_key(expected) == (contract, key)


@pytest.mark.parametrize("key", [GroupKey(-1), GroupKey(2**64), ContribKey(1, 2**32, ALICE), PayoutKey(1, "M")])
def test_a_key_with_a_part_out_of_range_is_not_written(key: Key) -> None:
    with pytest.raises((ValueError, OverflowError)):
        key.to_xdr(CONTRACT)


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


def test_a_group_of_any_age_is_read_with_what_it_lacks_as_none() -> None:
    for each in document("older-groups.json")["entries"]:
        group = decode_entry(each["xdr"]).value
        assert isinstance(group, Group)
        absent = [group.grace_period, group.penalty_rate, group.state, group.token_address, group.insurance_config]
        present = sum(value is not None for value in (*absent, group.is_cancelled)) + 11
        assert present == each["fields"]


def test_a_group_keeps_the_fields_that_nobody_knows() -> None:
    entry = Entry(CONTRACT, GroupKey(1), a_group())
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
    data, fields = group_map(Entry(CONTRACT, GroupKey(1), a_group()).to_xdr())
    fields.sc_map = [each for each in fields.sc_map if each.key.sym != SCSymbol(name.encode())]
    with pytest.raises(DecodeError, match=name):
        decode_entry(data.to_xdr())


def test_a_field_of_another_type_is_refused() -> None:
    data, fields = group_map(Entry(CONTRACT, GroupKey(1), a_group()).to_xdr())
    fields.sc_map[0].val = scval.to_uint64(10)
    with pytest.raises(DecodeError, match="SCV_I128"):
        decode_entry(data.to_xdr())


def test_a_map_out_of_order_is_refused() -> None:
    data, fields = group_map(Entry(CONTRACT, GroupKey(1), a_group()).to_xdr())
    fields.sc_map.reverse()
    with pytest.raises(DecodeError):
        decode_entry(data.to_xdr())


def test_a_temporary_entry_is_refused() -> None:
    data, _ = group_map(Entry(CONTRACT, GroupKey(1), a_group()).to_xdr())
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
        entry = Entry(CONTRACT, GroupKey(1), replace(a_group(), contribution_amount=amount, cycle_duration=2**64 - 1))
        assert decode_entry(entry.to_xdr()) == entry


def test_the_status_of_a_group_is_complete_before_it_is_cancelled() -> None:
    group = a_group()
    assert group.status == "active"
    assert replace(group, state=1).status == "cancelled"
    assert replace(group, state=None, is_cancelled=True).status == "cancelled"
    assert replace(group, state=1, is_complete=True).status == "completed"


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


@given(st.data())
def test_a_damaged_entry_is_refused_or_means_what_it_says(data: st.DataObject) -> None:
    raw = bytearray(base64.b64decode(Entry(CONTRACT, GroupKey(1), a_group()).to_xdr()))
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    text = base64.b64encode(bytes(raw)).decode()
    try:
        assert decode_entry(text).to_xdr() == text
    except DecodeError:
        assert text != Entry(CONTRACT, GroupKey(1), a_group()).to_xdr()


RECORDED = [xdr for _, xdr in entries()]
ANNOUNCED = [(each["topics"], each["value"]) for _, step in steps() for each in step.get("events", ())]


def damaged(data: st.DataObject, text: str) -> str:
    raw = bytearray(base64.b64decode(text))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    return base64.b64encode(bytes(raw)).decode()


@given(st.data())
def test_whatever_is_damaged_is_refused_or_means_what_it_says(data: st.DataObject) -> None:
    text = damaged(data, data.draw(st.sampled_from(RECORDED)))
    with suppress(DecodeError):
        assert decode_entry(text).to_xdr() == text
    topics, value = data.draw(st.sampled_from(ANNOUNCED))
    topics, value = [damaged(data, each) for each in topics], damaged(data, value)
    with suppress(DecodeError):
        assert decode_event(topics, value).encode() == (tuple(topics), value)


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


def test_keys_of_other_kinds_are_refused() -> None:
    account = struct.pack(">ii", LedgerEntryType.ACCOUNT.value, 0) + bytes(32)
    with pytest.raises(DecodeError, match="contract data"):
        decode_key(base64.b64encode(account).decode())
    foreign = GroupKey(1).to_xdr(CONTRACT).replace("R1JPVVA", "R1JPVVB")
    with pytest.raises(DecodeError):
        decode_key(foreign)


def test_a_mark_that_says_false_is_refused() -> None:
    marked = Entry(CONTRACT, ContribKey(1, 1, ALICE), True)
    raw = base64.b64decode(marked.to_xdr())
    with pytest.raises(DecodeError):
        decode_entry(base64.b64encode(raw[:-1] + b"\0").decode())


def test_a_tokens_words_about_itself_are_read_from_its_instance() -> None:
    entry = Entry(CONTRACT, InstanceKey(), token.instance("native", "native"))
    found = token_metadata(entry.to_xdr())
    assert (found.name, found.symbol, found.decimals, found.is_asset_contract) == ("native", "native", 7, True)
    wasm = Entry(CONTRACT, InstanceKey(), replace(token.instance("Dollar\0", "USD"), wasm_hash="00" * 32))
    assert token_metadata(wasm.to_xdr()).name == "Dollar\N{REPLACEMENT CHARACTER}"
    assert not token_metadata(wasm.to_xdr()).is_asset_contract
    with pytest.raises(DecodeError, match="metadata"):
        token_metadata(Entry(CONTRACT, InstanceKey(), Instance("00" * 32)).to_xdr())


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


@pytest.mark.parametrize("kind", [GroupKey, MetadataKey])
def test_keys_that_are_made_by_the_thousand_are_those_that_are_made_one_by_one(
    kind: type[GroupKey | MetadataKey],
) -> None:
    numbers = [0, 1, 255, 256, 2**32, 2**63, 2**64 - 1]
    assert numbered_keys(kind, CONTRACT, numbers) == [kind(number).to_xdr(CONTRACT) for number in numbers]
