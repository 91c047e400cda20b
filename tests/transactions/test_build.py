"""Building over HTTP: what is built is signed outside, sent to the sandbox and applied."""

from __future__ import annotations

import re
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings
from stellar_sdk import Keypair, MuxedAccount, TransactionEnvelope

from ajo.soroban.models import ChainTransaction
from ajo.soroban.rpc.client import SorobanClient
from devtools.sandbox.network import BASE_RESERVE
from devtools.sandbox.sandbox import Sandbox
from tests.support.building import (
    BUILD,
    applied,
    building,
    built,
    forget,
    join,
    opened,
    post,
    requests_seen,
    signed,
    stored,
)
from tests.support.closing import order
from tests.support.following import catch_up
from tests.support.nodes import use_nodes
from tests.support.sending import ALICE, AMOUNT, BOB, CAROL, OTHER, sequence

__all__ = ["building"]
pytestmark = pytest.mark.django_db
TERMS: dict[str, Any] = {
    "creator": ALICE.public_key,
    "contribution_amount": str(AMOUNT),
    "cycle_duration": "3600",
    "max_members": 3,
    "grace_period": "0",
    "penalty_rate": 0,
    "insurance_rate_bps": 0,
}


def test_a_built_join_is_signed_sent_and_applied(building: Sandbox) -> None:
    answer = join()
    envelope = signed(answer, BOB)
    assert envelope.hash_hex() == answer["hash"]
    assert applied(building, envelope) == ["SUCCESS"]
    assert building.chain.view("list_members", 1) == (ALICE.public_key, BOB.public_key)


def test_the_answer_has_the_promised_form(building: Sandbox) -> None:
    answer = built("create_group", ALICE, **TERMS, token_address=building.chain.token)
    transaction = opened(answer).transaction
    data: Any = transaction.soroban_data
    assert answer["network_passphrase"] == building.chain.passphrase
    assert (answer["function"], answer["group"], answer["source"]) == ("create_group", None, ALICE.public_key)
    assert answer["sequence"] == str(transaction.sequence) == str(sequence(building, ALICE) + 1)
    assert answer["result"] == "2"
    assert answer["fee"] == {
        "inclusion": "100",
        "resource": str(data.resource_fee.int64),
        "max": str(transaction.fee),
    }
    assert answer["auth_entries"] == []
    uri = urlsplit(answer["uri"])
    parts = parse_qs(uri.query)
    assert (uri.scheme, uri.path) == ("web+stellar", "tx")
    assert parts["xdr"] == [answer["xdr"]]
    assert parts["pubkey"] == [ALICE.public_key]
    assert parts["callback"] == [f"url:{django_settings.PUBLIC_URL}/api/v1/transactions/"]
    assert parts["network_passphrase"] == [building.chain.passphrase]


def test_two_requests_to_the_node_make_a_build(building: Sandbox) -> None:
    catch_up(SorobanClient(building.url, retries=0))
    join()
    requests_seen(building)
    with CaptureQueriesContext(connection) as statements:
        join()
    assert requests_seen(building) == {"getLedgerEntries": 1, "simulateTransaction": 1}
    tables = [re.search(r'FROM "(\w+)"', each["sql"]) for each in statements]
    assert [found and found[1] for found in tables] == [
        "soroban_checkpoint", "soroban_chaintransaction", "groups_token",
    ], "all of them while the node simulates"  # fmt: skip


@pytest.mark.parametrize("seconds", [60, 300, 3600])
def test_the_time_bounds_count_from_the_ledger_s_close_time(building: Sandbox, seconds: int) -> None:
    """Breaks if a clock of this host's were used: the chain's time is far from it."""
    assert abs(building.chain.range().last_close - time.time()) > 86_400
    bounds: Any = opened(join(valid_for=seconds)).transaction.preconditions
    assert bounds.time_bounds.min_time == 0
    assert bounds.time_bounds.max_time == building.chain.range().last_close + seconds


# --- the source and its sequence number


def test_no_account_as_source(building: Sandbox) -> None:
    answer = built("join_group", OTHER, status=409, member=BOB.public_key, group_id="1")
    assert answer["code"] == "no_account"
    assert OTHER.public_key in answer["detail"]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("CAS3J7GYLGXMF6TDJBBYYSE3HQ6BBSMLNUQ34T6TZMYMW2EVH34XOWMA", "cannot be the source"),
        (MuxedAccount(BOB.public_key, 3).account_muxed, BOB.public_key),
        ("nonsense", "Not a Stellar address"),
    ],
)
def test_what_cannot_be_a_source_is_refused_before_the_chain_is_asked(
    building: Sandbox, source: str, words: str
) -> None:
    requests_seen(building)
    answer = post(BUILD, {"function": "execute_payout", "source": source, "args": {"group_id": "1"}})
    assert answer.status_code == 400
    assert words in answer.json()["errors"]["source"][0]
    assert requests_seen(building) == {}


def test_a_used_sequence_number_names_the_next(building: Sandbox) -> None:
    used = sequence(building, BOB)
    answer = join(status=400, sequence=str(used))
    assert str(used + 1) in answer["errors"]["sequence"][0]


def test_a_later_sequence_number_waits_and_says_so(building: Sandbox) -> None:
    later = sequence(building, BOB) + 3
    answer = join(sequence=str(later))
    assert answer["sequence"] == str(later)
    assert [each["code"] for each in answer["warnings"]] == ["sequence_gap", "token_unverified"]


def test_a_source_with_a_pending_transaction_is_busy(building: Sandbox) -> None:
    first = stored(join(), BOB)
    answer = join(status=409)
    assert (answer["code"], answer["hash"]) == ("source_busy", first.hash)
    ChainTransaction.objects.update(status="failed", ledger=3, next_attempt_at=None)
    assert join()["sequence"] == str(first.sequence)


def test_a_pending_transaction_whose_number_was_used_does_not_keep_the_source_busy(building: Sandbox) -> None:
    """Breaks if the rows alone were believed: the follower may not have seen yet what the ledger has."""
    answer = join()
    stored(answer, BOB)
    assert applied(building, signed(answer, BOB)) == ["SUCCESS"]
    again = built("contribute", BOB, member=BOB.public_key, group_id="1")
    assert int(again["sequence"]) == int(answer["sequence"]) + 1


# --- replacing


def test_a_replacement_has_the_same_sequence_number_and_a_higher_bid(building: Sandbox) -> None:
    first = stored(join(), BOB)
    answer = join(replaces=first.hash)
    assert answer["sequence"] == str(first.sequence)
    assert int(answer["fee"]["inclusion"]) == 1000
    assert answer["hash"] != first.hash
    old = TransactionEnvelope.from_xdr(first.xdr, building.chain.passphrase)
    assert applied(building, signed(answer, BOB)) == ["SUCCESS"]
    assert sequence(building, BOB) == old.transaction.sequence  # so the old one can never apply


def test_an_unknown_transaction_cannot_be_replaced(building: Sandbox) -> None:
    join(status=404, replaces="ab" * 32)


def test_what_cannot_be_replaced_is_refused_by_name(building: Sandbox, settings: Settings) -> None:
    first = stored(join(), BOB)
    assert "another source" in join(CAROL, status=400, replaces=first.hash)["errors"]["replaces"][0]
    assert "sequence" in join(status=400, replaces=first.hash, sequence="9")["errors"]
    assert "inclusion_fee" in join(status=400, replaces=first.hash, inclusion_fee="100")["errors"]
    settings.MAX_INCLUSION_FEE = 100
    forget()
    assert join(status=409, replaces=first.hash)["code"] == "not_replaceable"
    ChainTransaction.objects.update(status="expired", next_attempt_at=None)
    assert join(status=409, replaces=first.hash)["code"] == "not_replaceable"


def test_a_replacement_of_a_used_number_is_refused(building: Sandbox) -> None:
    answer = join()
    first = stored(answer, BOB)
    assert applied(building, signed(answer, BOB)) == ["SUCCESS"]
    refused = join(status=409, replaces=first.hash)
    assert (refused["code"], refused["hash"]) == ("sequence_used", first.hash)
    assert "Wait for its end" in refused["detail"], "it may be the very one that was applied"


# --- refusals


def test_a_refusal_says_whose_it_is(building: Sandbox) -> None:
    answer = join(ALICE, status=409)
    assert answer["code"] == "contract_error"
    assert answer["contract_error"] == {"contract": building.contract, "code": 3, "name": "AlreadyMember"}
    assert answer["detail"] == "This wallet is a member of the group already."


def test_a_node_s_fault_is_no_refusal(building: Sandbox, settings: Settings) -> None:
    order(building, "busy", times=1)
    answer = post(BUILD, {"function": "execute_payout", "source": BOB.public_key, "args": {"group_id": "1"}})
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    order(building, "busy", times=1)
    use_nodes(settings, building, building)
    assert join()["function"] == "join_group"  # the second was asked


def test_a_source_that_cannot_pay_the_fee_is_told(building: Sandbox) -> None:
    poor = Keypair.from_raw_ed25519_seed(b"p" * 32)
    building.chain.fund(poor.public_key, 2 * BASE_RESERVE + 20_000)
    building.chain.close_ledger()
    answer = built("join_group", poor, status=409, member=poor.public_key, group_id="1")
    assert answer["code"] == "insufficient_balance"


@pytest.mark.parametrize(("more", "status"), [(0, 409), (2_000_000, 200)])
def test_a_source_that_cannot_pay_both_its_contribution_and_the_fee_is_told(
    building: Sandbox, more: int, status: int
) -> None:
    """The network takes the fee first: the simulation, which knows of none, allows what fails in the ledger."""
    chain = building.chain
    poor = Keypair.from_raw_ed25519_seed(b"q" * 32)
    chain.fund(poor.public_key, AMOUNT + 2 * BASE_RESERVE + more)
    chain.call(poor.public_key, "join_group", poor.public_key, 1)
    chain.close_ledger()
    answer = built("contribute", poor, status=status, member=poor.public_key, group_id="1")
    if status == 409:
        assert answer["code"] == "insufficient_balance"
        assert f"of which the call takes {AMOUNT:,}" in answer["detail"]
    else:
        assert applied(building, signed(answer, poor)) == ["SUCCESS"]
