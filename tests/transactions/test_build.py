"""Building over HTTP: what is built is signed outside, sent to the sandbox and applied."""

from __future__ import annotations

import pytest

from devtools.sandbox.sandbox import Sandbox
from tests.support.building import building, built, signed
from tests.support.sending import ALICE, BOB, host_code, looked_up, send

__all__ = ["building"]
pytestmark = pytest.mark.django_db(transaction=True)


def test_a_built_join_is_signed_sent_and_applied(building: Sandbox) -> None:
    answer = built("join_group", BOB, member=BOB.public_key, group_id="1")
    envelope = signed(answer, BOB)
    assert envelope.hash_hex() == answer["hash"]
    assert send(building, envelope)["status"] == "PENDING"
    building.chain.close_ledger()
    assert host_code(looked_up(building, envelope)) == "SUCCESS"
    assert building.chain.view("list_members", 1) == (ALICE.public_key, BOB.public_key)
