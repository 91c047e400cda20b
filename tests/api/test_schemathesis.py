"""schemathesis over the whole OpenAPI description, writing included, against the service's web process beside a chain.

All of schemathesis' checks are on. Those of credentials, of deleted resources and of required headers have nothing to
do: the API has none of these.
"""

from __future__ import annotations

import base64
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from zlib import crc32

import jsonschema
import pytest
import requests
import schemathesis
from django.core.exceptions import ValidationError
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytest_django import DjangoDbBlocker
from schemathesis.config import SchemathesisConfig
from stellar_sdk import StrKey
from stellar_sdk import xdr as stellar_xdr
from stellar_sdk.auth import authorization_payload_hash, authorize_entry

from ajo.api.params import ACCOUNT_SCHEMA, ADDRESS_SCHEMA, HASH_SCHEMA, ID_SCHEMA, parse_ledger, parse_moment
from ajo.soroban.contract.functions import WRITES
from tests.api.test_schema import described
from tests.support.factories import API, account
from tests.support.running import Running, running
from tests.support.sending import ALICE, AMOUNT, BOB, CAROL, OTHER, joining
from tests.support.waiting import wait_for
from tests.support.wallets import wallets

pytestmark = pytest.mark.system
T = TypeVar("T")
MEMBERS: Final = 6  # of the chain's history
SEED: Final = 3
ACCOUNTS: Final = [each.public_key for each in (ALICE, BOB, CAROL, OTHER)]  # the last is not on the chain
WALLETS: Final = [*wallets(MEMBERS, SEED), *ACCOUNTS, account(1)]
EXAMPLES: Final = 20  # drawn for each operation, beside those that cover its parameters and its form one by one
CONFIG: Final = {
    "generation": {"deterministic": True, "max-examples": EXAMPLES},
    "checks": {
        # 503 is described: it cannot be answered now. What has its form is answered here.
        "not_a_server_error": {"expected-statuses": ["2xx", "4xx", "503"]},
        "negative_data_rejection": {"expected-statuses": ["400", "404", "413", "415"]},
        "positive_data_acceptance": {"expected-statuses": ["2xx", "404", "409"]},
    },
}
ANY_VIEW: Final = {405, 406}  # what every view refuses alike: `default` describes these


def closed(form: Any) -> Any:
    """Return the description with all objects closed: an answer has no field that it leaves out."""
    if isinstance(form, list):
        return [closed(each) for each in form]
    if not isinstance(form, dict):
        return form
    found = {name: closed(each) for name, each in form.items()}
    return {"additionalProperties": False, **found} if isinstance(form.get("properties"), dict) else found


schemathesis.openapi.format("strkey", st.sampled_from(WALLETS))
FORMS: Final = described()["components"]["schemas"]
SCHEMA: Final = schemathesis.openapi.from_dict(closed(described()), config=SchemathesisConfig.from_dict(CONFIG))


@dataclass
class World:
    """Where the service is, and what exists in it."""

    url: str
    ledger: int
    groups: int
    hashes: list[str]
    args: dict[str, dict[str, Any]]  # of each function
    prepared: dict[str, Any]  # signed as `auth`, and as `signatures`
    submitted: list[str]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, django_db_blocker: DjangoDbBlocker) -> Iterator[World]:
    with django_db_blocker.unblock(), running(tmp_path_factory.mktemp("service")) as up:
        chain = up.sandbox.chain
        for each in (ALICE, BOB, CAROL):
            chain.fund(each.public_key)
        made = chain.call(ALICE.public_key, "create_group", ALICE.public_key, chain.token, AMOUNT, 3600, 5, 0, 0, 0)
        up.history.walk(30)
        up.manage("sync")
        up.start_web()
        wait_for(lambda: up.get("/health/live").status_code == 200, what="web")
        yield make_world(up, made.result)


def make_world(up: Running, group: int) -> World:
    """Build, sign and submit a joining of Alice's group, and tell what there is now."""
    url, args = f"http://127.0.0.1:{up.port}", arguments(group, up.sandbox.chain.token)
    joining_bob = {"member": BOB.public_key, "group_id": str(group)}
    asked: Any = {"function": "join_group", "source": ALICE.public_key, "args": joining_bob}
    built = requests.post(f"{url}{API}transactions/build/", json=asked, timeout=30).json()
    (entry,) = built["auth_entries"]
    payload = authorization_payload_hash(stellar_xdr.HashIDPreimage.from_xdr(entry["preimage"]))
    signature = base64.b64encode(BOB.sign(payload)).decode()
    signed = authorize_entry(entry["xdr"], BOB, entry["expires_ledger"], built["network_passphrase"])
    joined = [joining(up.sandbox, each, group=group) for each in (BOB, CAROL)]
    xdr = joined[0].to_xdr()
    assert requests.post(f"{url}{API}transactions/", json={"xdr": xdr}, timeout=30).status_code == 202
    events = requests.get(f"{url}{API}events/?limit=20", timeout=30).json()["results"]
    return World(
        url=url,
        ledger=up.sandbox.chain.latest,
        groups=max(group, *up.history.groups),
        hashes=[joined[0].hash_hex(), *(each["tx_hash"] for each in events), "0" * 64],
        args=args,
        prepared={
            "auth": {"xdr": built["xdr"], "auth": [signed.to_xdr()]},
            "signatures": {
                "xdr": built["xdr"],
                "signatures": [{"address": BOB.public_key, "public_key": BOB.public_key, "signature": signature}],
            },
        },
        submitted=[each.to_xdr() for each in joined],
    )


def arguments(group: int, token: str) -> dict[str, dict[str, Any]]:
    """Return arguments of their form for each function that writes; the contract may refuse them."""
    named = {
        "group_id": str(group), "token_address": token, "contribution_amount": str(AMOUNT), "cycle_duration": "3600",
        "max_members": 3, "grace_period": "0", "claim_id": "1",
    }  # fmt: skip
    typed = {
        "address": CAROL.public_key, "bool": True, "bytes": "0" * 64, "string": "Esusu",
        "i128": "1", "u32": 1, "u64": "1",
    }  # fmt: skip
    return {
        function: {name: named.get(name, typed[codec.name]) for name, codec in call.args.items()}
        for function, call in WRITES.items()
    }


# --- what a form cannot tell: which ledgers, pages, wallets and transactions there are


def one_of(values: list[str], drawn: str) -> str:
    """Return the same one of `values` for the same text."""
    return values[crc32(drawn.encode("utf-8", "surrogatepass")) % len(values)]


def has_form(form: Any, drawn: Any) -> bool:
    return bool(jsonschema.Draft202012Validator(form).is_valid(drawn))


def parsed(parse: Callable[[str], T], drawn: Any) -> T | None:
    """Return what the service reads in a parameter; None where it would refuse it."""
    try:
        return parse(str(drawn))
    except ValidationError:
        return None


def is_strkey(text: str) -> bool:
    return StrKey.is_valid_ed25519_public_key(text) or StrKey.is_valid_contract(text)


def make_parameters_real(case: Any, world: World) -> None:
    """Put what exists in the place of parameters that have its form."""
    for container in (case.path_parameters or {}, case.query or {}):
        for name in container.keys() & {"address", "creator", "member", "source", "token", "user"}:
            if has_form(ADDRESS_SCHEMA, container[name]) and not is_strkey(container[name]):
                container[name] = one_of(WALLETS, container[name])
        if has_form(ID_SCHEMA, group := str(container.get("group_id"))) and len(group) < 20:
            container["group_id"] = str(1 + int(group) % (world.groups + 1))  # the last is not on the chain
        if has_form(HASH_SCHEMA, container.get("hash")):
            container["hash"] = one_of(world.hashes, container["hash"])
    query = case.query or {}
    if (ledger := parsed(parse_ledger, query.get("min_ledger"))) is not None:
        query["min_ledger"] = ledger % (world.ledger + 1)  # a later one would be refused, or waited for
    if isinstance(query.get("cursor"), str) and query["cursor"]:  # a cursor is of one list, filters and order
        del query["cursor"]
    if isinstance(text := query.get("search"), str) and len(text) == 2:  # enough in some scripts
        query["search"] = f"{text}."
    begin, end = (parsed(parse_moment, query.get(name)) for name in ("from", "to"))
    if begin and end and end <= begin:
        del query["to"]


def make_body_real(case: Any, world: World) -> None:
    """Put a real call or envelope in the place of fields that have its form: what else is wrong is then the reason."""
    body = case.body
    if case.path.endswith("/build/"):
        if has_form(ACCOUNT_SCHEMA, body.get("source")):
            body["source"] = one_of(ACCOUNTS, repr(body))
        if isinstance(body.get("args", {}), dict) and str(body.get("function")) in WRITES:
            body["args"] = world.args[body["function"]]
        # which numbers are left is for the chain and the settings to say
        for name, least in (("sequence", 10**15), ("inclusion_fee", 100), ("auth_valid_for", 10)):
            if has_form(FORMS["Build"]["properties"][name], body.get(name)):
                number = least + int(body[name]) % 1000
                body[name] = str(number) if isinstance(body[name], str) else number
        if has_form(HASH_SCHEMA, body.get("replaces")):  # only a transaction of the same source can be replaced
            del body["replaces"]
    elif case.path.endswith("/prepare/") and case.meta.generation.mode.is_positive:
        body |= world.prepared["auth" if "auth" in body else "signatures"]
    elif has_form(FORMS["Submission"]["properties"]["xdr"], body.get("xdr")):
        body["xdr"] = one_of(world.submitted, body["xdr"])


# --- the tests

ANSWERS: Final[defaultdict[str, Counter[int]]] = defaultdict(Counter)  # of each operation, by status


# With a parameter of ours each operation's test has an id of its own. Without one, pytest 9.2 gives all tests that
# schemathesis 4.32 makes the function's id, and xdist runs one test of an id.
@SCHEMA.parametrize()
@pytest.mark.parametrize("version", ["v1"])
@hypothesis_settings(deadline=None, suppress_health_check=list(HealthCheck))
def test_operation(world: World, version: str, case: Any) -> None:
    make_parameters_real(case, world)
    if isinstance(case.body, dict):
        make_body_real(case, world)
    response = case.call(base_url=world.url)
    ANSWERS[case.operation.label][response.status_code] += 1
    case.validate_response(response, transport_kwargs={"base_url": world.url})
    named = {int(status) for status in case.operation.definition.raw["responses"] if status != "default"}
    assert response.status_code in named | ANY_VIEW or response.request.method == "OPTIONS"


def test_each_operation_has_been_called_and_has_done_what_it_is_for() -> None:
    """Looks at what the tests above have been answered."""
    operations = {f"{method.upper()} {path}" for path, methods in described()["paths"].items() for method in methods}
    assert ANSWERS.keys() == operations
    assert [name for name, answers in ANSWERS.items() if not answers.keys() & {200, 202}] == []
