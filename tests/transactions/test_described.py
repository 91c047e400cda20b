"""What writing answers is what the OpenAPI description says, refusals included."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import jsonschema
import pytest
from django.test import Client

from devtools.sandbox.sandbox import Sandbox
from tests.api.test_schema import described, strict
from tests.support.building import BUILD, PREPARE, building, built, join, post, signed, stored
from tests.support.sending import ALICE, BOB, CAROL, OTHER
from tests.support.submitting import PATH, follow

__all__ = ["building"]
pytestmark = pytest.mark.django_db


def checked(answer: Any, path: str, status: int, method: str = "post") -> Any:
    """Return the JSON of an answer that has this status and the form that the description gives it."""
    assert answer.status_code == status, answer.content
    schema = described()
    (form,) = schema["paths"][path][method]["responses"][str(status)]["content"].values()
    found = answer.json()
    jsonschema.validate(found, strict(form["schema"]) | {"components": strict(schema["components"])})
    return found


def request(function: str = "join_group", **args: Any) -> dict[str, Any]:
    return {"function": function, "source": ALICE.public_key, "args": args}


def test_from_the_build_to_the_list(building: Sandbox) -> None:
    follow(building)
    args = {"member": BOB.public_key, "group_id": "1"}
    answer = checked(post(BUILD, request(**args)), BUILD, 200)
    (entry,) = answer["auth_entries"]
    signature = BOB.sign(hashlib.sha256(base64.b64decode(entry["preimage"])).digest())
    by_bob = {"address": BOB.public_key, "public_key": BOB.public_key, "signature": signature.hex()}
    prepared = checked(post(PREPARE, {"xdr": answer["xdr"], "signatures": [by_bob]}), PREPARE, 200)
    xdr = signed(prepared, ALICE).to_xdr()
    assert checked(post(PATH, {"xdr": xdr}), PATH, 202)["status"] == "pending"
    assert checked(post(PATH, {"xdr": xdr}), PATH, 200)["hash"] == prepared["hash"]
    one = checked(Client().get(f"{PATH}{prepared['hash']}/"), f"{PATH}{{hash}}/", 200, "get")
    assert checked(Client().get(PATH), PATH, 200, "get")["results"] == [one]


def test_refusals_of_a_build(building: Sandbox) -> None:
    follow(building)
    said = [
        checked(post(BUILD, request(member=ALICE.public_key, group_id="1")), BUILD, 409),
        checked(post(BUILD, request(member=BOB.public_key, group_id="1") | {"source": OTHER.public_key}), BUILD, 409),
    ]
    first = join(BOB)
    stored(first, BOB)
    busy = built("join_group", BOB, status=409, member=BOB.public_key, group_id="1")
    again = checked(post(BUILD, request(member=BOB.public_key, group_id="1") | {"source": BOB.public_key}), BUILD, 409)
    assert again == busy
    assert [each["code"] for each in [*said, busy]] == ["contract_error", "no_account", "source_busy"]
    assert busy["hash"] == first["hash"]
    checked(post(BUILD, {"function": "x"}), BUILD, 400)
    unknown = request(member=BOB.public_key, group_id="1") | {"replaces": "ab" * 32}
    checked(post(BUILD, unknown), BUILD, 404)
    checked(Client().post(BUILD, b"x", content_type="text/plain"), BUILD, 415)
    checked(post(BUILD, {"function": "x" * 300_000}), BUILD, 413)


def test_refusals_of_a_submission(building: Sandbox) -> None:
    follow(building)
    answer = join(CAROL)
    checked(post(PATH, {"xdr": answer["xdr"]}), PATH, 400)
    checked(Client().post(PATH, b"x", content_type="text/plain"), PATH, 415)
    first = signed(join(BOB), BOB)
    checked(post(PATH, {"xdr": first.to_xdr()}), PATH, 202)
    rival = join(BOB, sequence=str(first.transaction.sequence + 1))
    busy = checked(post(PATH, {"xdr": signed(rival, BOB).to_xdr()}), PATH, 409)
    assert (busy["code"], busy["hash"]) == ("source_busy", first.hash_hex())
