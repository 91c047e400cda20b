"""Staff's view of submitted transactions: business rows, in words, with links; nothing can be changed."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from ajo.soroban.models import ChainTransaction
from groups.models import WalletLabel
from tests.support.factories import account, make_checkpoint, make_group, make_transaction, make_user

pytestmark = pytest.mark.django_db
TABLE = "admin:soroban_chaintransaction_changelist"
ROW = "admin:soroban_chaintransaction_change"


@pytest.fixture
def failed() -> ChainTransaction:
    """One of a labelled wallet's that failed."""
    make_checkpoint()
    make_group(1, members=(1, 2))
    WalletLabel.objects.create(address=account(1), label="Ada from the market")
    return make_transaction(
        1, function="execute_payout", status="failed", ledger=900, code="contract_error", detail="A contract refused.",
        contract_error={"contract": "C", "code": 16, "name": "CycleNotExpired"}, attempts=3, last_answer="DUPLICATE",
    )  # fmt: skip


def test_a_row_says_who_what_which_group_and_what_became_of_it(staff: Client, failed: ChainTransaction) -> None:
    page = staff.get(reverse(TABLE)).content.decode()
    for said in (
        "Ada from the market", "execute payout", "failed in its ledger: the fee was charged, nothing else changed",
        "contract_error", reverse("admin:groups_group_change", args=[1]),
        reverse("admin:groups_user_change", args=[make_user(1).pk]),
    ):  # fmt: skip
        assert said in page, said


def test_its_page_has_the_reason_and_the_links(staff: Client, failed: ChainTransaction) -> None:
    page = staff.get(reverse(ROW, args=[failed.hash])).content.decode()
    for said in (
        "A contract refused.",
        "CycleNotExpired",
        "DUPLICATE",
        failed.hash,
        "what it announced",
        "all that it submitted",
    ):
        assert said in page, said


@pytest.mark.parametrize("name", [TABLE, ROW])
def test_nobody_changes_one(chief: Client, failed: ChainTransaction, name: str) -> None:
    address = reverse(name, args=[failed.hash] if name == ROW else [])
    assert chief.post(address, {"status": "success"}).status_code == 403
    assert ChainTransaction.objects.get().status == "failed"
