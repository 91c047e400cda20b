"""Values of the contract: wallets, a group, and hypothesis strategies for any of them."""

import base64

from hypothesis import strategies as st
from stellar_sdk import Keypair, StrKey

from ajo.soroban.contract.entries import Group, InsuranceConfig

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


def build_group() -> Group:
    """Return a group with every field that the newest contract writes."""
    return Group(1, ALICE, 10, 60, 5, (ALICE, WALLET), 1, 0, 0, 0, False, 0, 0, 0, WALLET, InsuranceConfig(False, 0))


def damage_xdr(data: st.DataObject, text: str) -> str:
    """Return base64 in which up to three bytes are changed, left out or added."""
    raw = bytearray(base64.b64decode(text))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    return base64.b64encode(bytes(raw)).decode()
