"""The OpenAPI description: without warnings, valid, and true to what the endpoints answer."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import jsonschema
import pytest
from django.contrib.staticfiles import finders
from django.test import Client
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema

from ajo.api.problem_codes import ProblemCode
from ajo.soroban.contract.events import Event
from contributions.models import Contribution, Payout, Refund
from groups.models import RefundRequest
from tests.support.factories import (
    API,
    START,
    account,
    contract,
    make_checkpoint,
    make_event,
    make_group,
    make_row,
    make_transaction,
    make_user,
)

pytestmark = pytest.mark.django_db


def generated() -> dict[str, Any]:
    generator: Any = SchemaGenerator  # untyped
    schema: dict[str, Any] = generator().get_schema(request=None, public=True)
    return schema


@cache
def described() -> dict[str, Any]:
    """The description, made once for all tests."""
    return generated()


def test_the_description_is_made_without_warnings() -> None:
    GENERATOR_STATS.reset()
    schema = generated()
    assert not GENERATOR_STATS
    validate: Any = validate_schema
    validate(schema)
    assert len(schema["paths"]) >= 20


LAST_STATE = (
    "current_round", "payout_index", "contributions_received", "collected_amount", "payout_amount",
    "round_started_at", "round_ends_at", "grace_ends_at",
)  # fmt: skip


@pytest.mark.parametrize("form", ["Group", "GroupDetail"])
@pytest.mark.parametrize("name", LAST_STATE)
def test_what_stays_when_a_group_is_over_is_described_as_such(form: str, name: str) -> None:
    assert "Of a completed" in described()["components"]["schemas"][form]["properties"][name]["description"]


def strict(schema: Any) -> Any:
    """OpenAPI 3.0 → JSON Schema: null where nullable, and no field that is not described."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: strict(value) for key, value in schema.items() if key != "nullable"}
    if "properties" in schema and "additionalProperties" not in schema:
        found["additionalProperties"] = False
    return {"anyOf": [found, {"type": "null"}]} if schema.get("nullable") is True else found


@pytest.mark.parametrize(
    "path",
    [
        "groups/", "groups/1/", "groups/1/members/", "groups/1/contributions/", "groups/1/payouts/",
        "groups/1/refunds/", "groups/1/events/", "users/", f"users/{account(1)}/", f"users/{account(1)}/groups/",
        f"users/{account(1)}/contributions/", f"users/{account(1)}/payouts/", f"users/{account(1)}/refunds/",
        f"users/{account(1)}/dues/", "contributions/", "payouts/", "refunds/", "events/", "status/",
        f"transactions/{1:064x}/", f"transactions/{7:064x}/", "transactions/", "", "contract/", "contract/tokens/",
        "groups/1/entries/", "groups/1/schedule/",
        "groups/1/statement/", f"users/{account(1)}/statement/",
    ],
)  # fmt: skip
def test_answers_are_what_the_description_says(client: Client, path: str) -> None:
    make_checkpoint()
    group = make_group(1, members=(1, 2))
    RefundRequest.objects.create(
        group=group, requester=make_user(2), created_at=START, votes_for=2, votes_against=1, executed=False,
        approved=True, entry_xdr="",
    )  # fmt: skip
    make_event(1)
    make_event(2, group=None, round=None, data=None, kind="executable_update")
    make_event(3, kind="of-a-later-version", data={})
    for kind in (Contribution, Payout, Refund):
        make_row(kind, 1, 1, 1, 1)
    make_transaction(
        7, status="failed", ledger=900, code="contract_error", detail="No.", fee_charged=5, closed_at=START,
        contract_error={"contract": contract(1), "code": 8, "name": None}, result={"any": [1]},
    )  # fmt: skip
    schema = described()
    generic = re.sub(r"^(groups)/1/", r"\1/{group_id}/", path.replace(account(1), "{address}"))
    generic = re.sub(r"transactions/\w+", "transactions/{hash}", generic)
    operation = schema["paths"][API + generic]["get"]
    form = strict(operation["responses"]["200"]["content"]["application/json"]["schema"])
    answer = json.loads(client.get(API + path).getvalue())
    jsonschema.validate(answer, form | {"components": strict(schema["components"])})
    assert answer.get("results", answer)


def test_the_schema_is_served_as_json(client: Client) -> None:
    for accept in ("*/*", "application/json"):
        response = client.get(f"{API}schema/", headers={"Accept": accept})
        assert response.status_code == 200
        assert response.json()["openapi"].startswith("3.")


def test_the_page_to_try_it_asks_no_other_host(client: Client) -> None:
    page = client.get(f"{API}docs/").content.decode()
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    script = f"{API}docs/?script="
    files = set(sources) - {script}
    assert len(files) >= 4
    assert all(source.startswith("/static/") for source in files)
    assert all(finders.find(source.removeprefix("/static/")) for source in files)
    assert script in sources
    for text in (page, client.get(script).content.decode()):
        assert not re.search(r"https?://", text)


WRITE_STATUSES = ("400", "404", "409", "413", "415", "429", "503", "default")
BUILDS = ("transactions_build", "transactions_prepare")


def operations() -> list[Any]:
    """Each operation of the description, with a name for a failure."""
    found = described()["paths"].items()
    return [pytest.param(each, id=f"{method} {path}") for path, methods in found for method, each in methods.items()]


def fields() -> list[Any]:
    """Each field of each component, with a name for a failure."""
    components = described()["components"]["schemas"].items()
    return [
        pytest.param(each, id=f"{name}.{field}")
        for name, component in components
        for field, each in component.get("properties", {}).items()
    ]


@cache
def strict_components() -> Any:
    return strict(described()["components"])


def test_each_operation_has_a_sentence_and_a_paragraph_of_its_own() -> None:
    """Breaks if a view had none: its base class's docstring would stand there, as it does for others."""
    found = [each.values[0] for each in operations()]
    for name in ("summary", "operationId"):
        assert len({each[name] for each in found}) == len(found)
    assert all(len(each["description"]) > 60 for each in found)
    paragraphs = [each["description"] for each in found if "statement" not in each["operationId"]]
    assert len(set(paragraphs)) == len(paragraphs)


@pytest.mark.parametrize("operation", operations())
def test_each_status_that_an_operation_gives_has_its_form(operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    expected = {"200", "304", "400", "404", "429", "503", "default"}
    assert expected <= set(responses) or {"200", *WRITE_STATUSES} <= set(responses)
    for status, response in responses.items():
        assert response["description"]
        if status in ("200", "202", "304"):
            # what is built now rests on no ledger of the tables
            assert ("Latest-Ledger" in response["headers"]) == (operation["operationId"] not in BUILDS)
            assert ("Location" in response["headers"]) == ("202" in responses)
        else:
            (form,) = response["content"].items()
            assert form[0] == "application/problem+json"
            assert status in ("default", str(form[1]["example"]["status"]))
    assert responses["429"]["headers"]["Retry-After"]["required"]
    assert responses["503"]["headers"]["Retry-After"]["required"]


@pytest.mark.parametrize("field", fields())
def test_each_field_has_a_text_and_an_example_of_its_form(field: dict[str, Any]) -> None:
    assert len(field["description"]) >= 7
    assert "example" in field
    jsonschema.validate(field["example"], strict(field) | {"components": strict_components()})


def test_every_parameter_is_described() -> None:
    for each in operations():
        bare = [one["name"] for one in each.values[0].get("parameters", []) if not one.get("description")]
        assert bare == []


def test_events_are_a_union_by_type_of_every_kind_that_is_known() -> None:
    components = described()["components"]["schemas"]
    names = [each["$ref"].rpartition("/")[2] for each in components["Event"]["oneOf"]]
    types = [components[name]["properties"]["type"] for name in names]
    assert {each["enum"][0] for each in types[:-1]} == {
        kind.name for kind in Event.__subclasses__() if hasattr(kind, "body")
    }
    assert set(types[-1]["not"]["enum"]) == {each["enum"][0] for each in types[:-1]}
    assert components["PayoutData"]["required"] == ["recipient", "amount"]


def test_codes_of_problems_are_a_closed_list() -> None:
    components = described()["components"]["schemas"]
    assert components["ProblemCode"]["enum"] == [code.value for code in ProblemCode]
    assert "code" in components["Problem"]["required"]
