"""A node cannot slip another authorization into a build, and a token cannot ask for more than the payment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pytest_django import Settings
from stellar_sdk import Address, scval, xdr

from ajo.soroban.contract.keys import InstanceKey
from ajo.soroban.models import RpcNode
from devtools.sandbox.sandbox import Sandbox
from tests.support.building import applied, building, built, join, lying, make_group, signed
from tests.support.nodes import use_nodes
from tests.support.sending import ALICE, AMOUNT, BOB, CAROL

__all__ = ["building"]
pytestmark = pytest.mark.django_db
Entry = xdr.SorobanAuthorizationEntry


def changed(change: Callable[[Entry], None]) -> Callable[[dict[str, Any]], None]:
    """Change the one entry that a simulation recorded."""

    def work(answer: dict[str, Any]) -> None:
        result = answer["result"]["results"][0]
        entry = Entry.from_xdr(result["auth"][0])
        change(entry)
        result["auth"] = [entry.to_xdr()]

    return work


def another_argument(entry: Entry) -> None:
    _call(entry).args[1] = scval.to_uint64(2)


def another_function(entry: Entry) -> None:
    _call(entry).function_name = xdr.SCSymbol(b"contribute")


def another_contract(entry: Entry) -> None:
    _call(entry).contract_address = Address("C" + "A" * 51 + "BSC4").to_xdr_sc_address()


def another_address(entry: Entry) -> None:
    _credentials(entry).address = Address(CAROL.public_key).to_xdr_sc_address()


def something_below(entry: Entry) -> None:
    entry.root_invocation.sub_invocations.append(Entry.from_xdr(entry.to_xdr()).root_invocation)


def _call(entry: Entry) -> Any:
    return entry.root_invocation.function.contract_fn


def _credentials(entry: Entry) -> Any:
    return entry.credentials.address


def joined(*, status: int = 200) -> Any:
    return built("join_group", ALICE, status=status, member=BOB.public_key, group_id="1")


@pytest.mark.parametrize("change", [another_argument, another_function, another_address, another_contract])
def test_a_foreign_entry_is_refused_and_another_node_asked(
    building: Sandbox, settings: Settings, change: Callable[[Entry], None]
) -> None:
    honest = joined()["auth_entries"][0]
    with lying(building, settings, "simulateTransaction", changed(change)) as liar:
        answer = joined()
        assert liar.met > 0
    assert answer["auth_entries"][0]["invocation"] == honest["invocation"]
    assert answer["auth_entries"][0]["address"] == BOB.public_key
    assert RpcNode.objects.get(failures__gt=0).last_error.startswith("simulateTransaction: an authorization of")


def test_one_entry_more_is_refused(building: Sandbox, settings: Settings) -> None:
    def doubled(answer: dict[str, Any]) -> None:
        answer["result"]["results"][0]["auth"] *= 2

    with lying(building, settings, "simulateTransaction", doubled):
        assert len(joined()["auth_entries"]) == 1
    assert RpcNode.objects.filter(failures=1).count() == 1


def test_a_missing_entry_is_refused(building: Sandbox, settings: Settings) -> None:
    def without(answer: dict[str, Any]) -> None:
        answer["result"]["results"][0]["auth"] = []

    with lying(building, settings, "simulateTransaction", without):
        assert len(joined()["auth_entries"]) == 1
    assert RpcNode.objects.filter(failures=1).count() == 1


def test_where_every_node_lies_nothing_is_built(building: Sandbox, settings: Settings) -> None:
    with lying(building, settings, "simulateTransaction", changed(another_address)) as liar:
        use_nodes(settings, liar)
        joined(status=503)


def test_what_a_token_asks_for_beyond_the_payment_is_refused(building: Sandbox, settings: Settings) -> None:
    """It is no node's fault: none is passed over for it."""
    assert applied(building, signed(join(), BOB)) == ["SUCCESS"]
    with lying(building, settings, "simulateTransaction", changed(something_below)):
        answer = built("contribute", ALICE, status=409, member=BOB.public_key, group_id="1")
    assert answer["code"] == "bad_auth"
    assert not RpcNode.objects.filter(failures__gt=0).exists()


def test_the_entry_of_a_contribution_shows_the_payment(building: Sandbox) -> None:
    assert applied(building, signed(join(), BOB)) == ["SUCCESS"]
    answer = built("contribute", ALICE, member=BOB.public_key, group_id="1")
    (entry,) = answer["auth_entries"]
    assert entry["invocation"] == {
        "contract": building.contract,
        "function": "contribute",
        "args": {"member": BOB.public_key, "group_id": "1"},
        "sub_invocations": [
            {
                "contract": building.chain.token,
                "function": "transfer",
                "args": {"from": BOB.public_key, "to": building.contract, "amount": str(AMOUNT)},
                "sub_invocations": [],
            }
        ],
    }


def test_names_are_authorized_by_the_creator_whoever_pays(building: Sandbox) -> None:
    texts: dict[str, Any] = {"name": "Ajo é", "description": "", "rules": ""}
    (entry,) = built("set_group_metadata", BOB, group_id="1", **texts)["auth_entries"]
    assert entry["address"] == ALICE.public_key
    assert entry["invocation"]["args"] == {"group_id": "1", **texts}


def test_the_admin_of_the_contract_authorizes_its_pause(building: Sandbox) -> None:
    (entry,) = built("pause", BOB)["auth_entries"]
    assert entry["address"] == building.chain.read(InstanceKey()).admin


@pytest.mark.parametrize("seconds", [60, 3600])
def test_an_entry_outlives_the_transaction(building: Sandbox, seconds: int) -> None:
    more = {"valid_for": seconds}
    answer = built("join_group", ALICE, more=more, member=BOB.public_key, group_id="1")
    expires = answer["auth_entries"][0]["expires_ledger"]
    assert expires == building.chain.latest + seconds // 4 + 100


def test_how_long_an_entry_is_valid_can_be_chosen_within_the_network_s_limit(building: Sandbox) -> None:
    def build(ledgers: int, status: int) -> Any:
        more = {"auth_valid_for": ledgers}
        return built("join_group", ALICE, status=status, more=more, member=BOB.public_key, group_id="1")

    assert build(1000, 200)["auth_entries"][0]["expires_ledger"] == building.chain.latest + 1000
    assert "from 10 to 3110399" in build(3_110_400, 400)["errors"]["auth_valid_for"][0]
    assert "equal to 10." in build(9, 400)["errors"]["auth_valid_for"][0]


@pytest.mark.parametrize(
    ("function", "args", "who"),
    [
        ("cancel_group", {"creator": ALICE.public_key, "group_id": "1"}, ALICE.public_key),
        ("request_refund", {"requester": ALICE.public_key, "group_id": "2"}, ALICE.public_key),
        ("vote_refund", {"voter": ALICE.public_key, "group_id": "1", "in_favor": True}, ALICE.public_key),
        ("execute_refund", {"executor": CAROL.public_key, "group_id": "1"}, CAROL.public_key),
        ("emergency_refund", {"admin": "ADMIN", "group_id": "1"}, "ADMIN"),
        ("process_insurance_claim", {"admin": CAROL.public_key, "claim_id": "1", "approved": False}, "ADMIN"),
        ("upgrade", {"new_wasm_hash": "CODE"}, "ADMIN"),
        ("unpause", {}, "ADMIN"),
    ],
)
def test_each_function_is_authorized_by_the_one_whom_the_contract_asks(
    building: Sandbox, function: str, args: dict[str, Any], who: str
) -> None:
    chain = building.chain
    instance = chain.read(InstanceKey())
    words = {"ADMIN": instance.admin, "CODE": instance.wasm_hash}
    make_group(building)
    chain.advance(3601)
    chain.call(ALICE.public_key, "request_refund", ALICE.public_key, 1)
    if function == "execute_refund":
        chain.call(ALICE.public_key, "vote_refund", ALICE.public_key, 1, True)
        chain.advance(604_801)
        chain.close_ledger()
    claim = ALICE.public_key, 1, 1, ALICE.public_key, 5
    chain.call(ALICE.public_key, "file_insurance_claim", *claim)
    chain.close_ledger()
    given = {name: words.get(value, value) if isinstance(value, str) else value for name, value in args.items()}
    (entry,) = built(function, BOB, **given)["auth_entries"]
    assert entry["address"] == words.get(who, who)
    assert entry["invocation"]["function"] == function
    assert entry["invocation"]["args"] == given


def test_a_claim_is_authorized_by_its_claimant_and_gets_a_number(building: Sandbox) -> None:
    claim: dict[str, Any] = {"group_id": "1", "cycle": 1, "defaulter": ALICE.public_key, "amount": "5"}
    answer = built("file_insurance_claim", BOB, claimant=ALICE.public_key, **claim)
    assert [each["address"] for each in answer["auth_entries"]] == [ALICE.public_key]
    assert answer["result"] == "1"


def test_a_payout_is_authorized_by_nobody(building: Sandbox) -> None:
    building.chain.call(ALICE.public_key, "contribute", ALICE.public_key, 1)
    building.chain.advance(3600)
    building.chain.close_ledger()
    answer = built("execute_payout", BOB, group_id="1")
    assert answer["auth_entries"] == []
    assert applied(building, signed(answer, BOB)) == ["SUCCESS"]
