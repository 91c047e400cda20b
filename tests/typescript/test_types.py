"""The guide's TypeScript, with types that are made from our schema: it compiles, and does what it says.

`make typescript`; needs Debian's nodejs and npm.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import requests
from pytest_django.live_server_helper import LiveServer

from ajo.api.guide import FOLDER
from ajo.api.schema import description
from ajo.settings import BASE_DIR
from ajo.soroban.rpc.client import SorobanClient
from devtools.sandbox.sandbox import Sandbox
from tests.support.following import RUNNING, make_full_groups

TOOLS = BASE_DIR / "devtools" / "typescript" / "node_modules" / ".bin"
BLOCK = re.compile(r"^```ts\n(.*?)^```$", re.MULTILINE | re.DOTALL)
STRICT = ("--strict", "--noUncheckedIndexedAccess", "--exactOptionalPropertyTypes", "--noUnusedLocals")
OPTIONS = ("--target", "es2022", "--module", "es2022", "--moduleResolution", "bundler", "--lib", "es2022,dom")


def run(*argv: object) -> str:
    done = subprocess.run(list(map(str, argv)), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def types(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the types of our schema."""
    home = tmp_path_factory.mktemp("types")
    (home / "package.json").write_text('{"type": "module"}')
    (home / "schema.json").write_bytes(description())
    run(TOOLS / "openapi-typescript", home / "schema.json", "-o", home / "ajo.d.ts")
    return home


def compiled(types: Path, name: str, code: str) -> Path:
    (types / f"{name}.ts").write_text(code)
    run(TOOLS / "tsc", *STRICT, *OPTIONS, types / f"{name}.ts", types / "ajo.d.ts")
    return types / f"{name}.js"


def examples() -> dict[str, str]:
    """Every TypeScript block of the guide by its page."""
    found = {path.stem: "".join(BLOCK.findall(path.read_text())) for path in sorted(FOLDER.glob("*.md"))}
    return {page: code for page, code in found.items() if code}


def test_every_example_of_the_guide_compiles(types: Path) -> None:
    assert "quick-start" in examples()
    for page, code in examples().items():
        compiled(types, page, code)


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ('export const id: components["schemas"]["GroupDetail"]["id"] = 5;', "Type 'number' is not assignable"),
        ('export const code: components["schemas"]["ProblemCode"] = "oops";', "Type '\"oops\"' is not assignable"),
    ],
)
def test_the_types_refuse_what_the_service_never_says(types: Path, wrong: str, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        compiled(types, "wrong", f'import type {{ components }} from "./ajo";\n{wrong}\n')


@pytest.mark.django_db(transaction=True)
def test_the_quick_starts_client_reads_what_the_service_says(
    types: Path, live_server: LiveServer, sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    make_full_groups(sandbox, client_of_chain)
    api = f"{live_server.url}/api/v1/"

    def read(path: str) -> Any:
        return requests.get(f"{api}{path}", timeout=30).json()

    group = read(f"groups/{RUNNING}/")
    member = read(f"groups/{RUNNING}/members/")["results"][0]["address"]
    module = compiled(types, "quick-start", examples()["quick-start"])
    said = json.loads(run("node", Path(__file__).with_name("use.mjs"), module, api, RUNNING, member))
    payouts = [event["data"]["amount"] for event in read("events/?limit=200&type=payout")["results"]]
    assert payouts
    assert said == {
        "group": group,
        "paid": str(sum(map(int, payouts))),
        "owed": [total["amount_due"] for total in read(f"users/{member}/dues/")["totals"]],
        "refusal": read("groups/999/")["detail"],
    }
