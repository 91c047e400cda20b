"""Every example of the guide, run against the service and the sandbox as it stands, but for the addresses."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import textwrap
from contextlib import nullcontext
from pathlib import Path

import pytest
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer
from stellar_sdk import Keypair

from ajo.api.event_schema import KINDS, TEXTS
from ajo.api.guide import FOLDER, PAGES, PUBLIC_ADDRESS
from ajo.soroban.rpc.client import SorobanClient
from devtools.sandbox.sandbox import Sandbox
from tests.support.following import catch_up, make_full_groups, make_groups
from tests.support.worker import working

pytestmark = pytest.mark.django_db(transaction=True)
BLOCK = re.compile(r"^```(bash|python|json)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SANDBOX_ADDRESS = "http://127.0.0.1:8001"
# An answer that is no 2xx fails an example, save on the page of errors.
STRICT = 'set -euo pipefail\ncurl() { command curl --fail-with-body "$@"; }\n'
BARE = "set -euo pipefail\n"
# What the examples of a page show, beside that they run.
SHOWN = {
    "quick-start": [r"^[1-9]\d* smallest units due", r"^[1-9]\d* movements since \d{4}-\d\d began$"],
    "sandbox": [r"^round 2 is overdue: 50000000 owed$", r"^round 3 is paid out; the group is completed$"],
    "verification": [r"^the group is as its entry says$"],
}


def blocks(page: str, *languages: str) -> list[tuple[str, str]]:
    return [found for found in BLOCK.findall((FOLDER / f"{page}.md").read_text()) if found[0] in languages]


PAGES_WITH_CODE = [page for page in PAGES if blocks(page, "bash", "python")]


@pytest.mark.parametrize("page", PAGES_WITH_CODE)
def test_every_example_of_a_page_runs(
    page: str,
    live_server: LiveServer,
    sandbox: Sandbox,
    client_of_chain: SorobanClient,
    settings: Settings,
    tmp_path: Path,
) -> None:
    assert shutil.which("curl")
    make_full_groups(sandbox, client_of_chain)
    settings.PUBLIC_URL = live_server.url
    said = ""
    for language, code in blocks(page, "bash", "python"):
        with working(sandbox) if "transactions/build/" in code else nullcontext():
            said += run_block(page, language, code, live_server.url, sandbox.url, tmp_path) + "\n"
    for line in SHOWN.get(page, []):
        assert re.search(line, said, re.MULTILINE), (line, said)


def run_block(page: str, language: str, code: str, service: str, chain: str, folder: Path) -> str:
    """Run one example and return what it prints."""
    code = code.replace(PUBLIC_ADDRESS, service).replace(SANDBOX_ADDRESS, chain)
    shell = (BARE if page == "errors" else STRICT) + code
    command = ["bash", "-c", shell] if language == "bash" else [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=folder)
    assert done.returncode == 0, (code, done.stdout, done.stderr)
    assert done.stdout or language == "python", code
    return done.stdout


def test_the_program_of_the_readme_joins_once_and_says_why_not_twice(
    live_server: LiveServer, sandbox: Sandbox, client_of_chain: SorobanClient, settings: Settings
) -> None:
    make_groups(sandbox, 1)
    wallet = Keypair.random()
    sandbox.chain.fund(wallet.public_key)
    sandbox.chain.close_ledger()
    catch_up(client_of_chain)
    settings.PUBLIC_URL = live_server.url
    readme = (settings.BASE_DIR / "README.md").read_text()
    (code,) = re.findall(r"^    import sys, .*\n(?:    .*\n)+", readme, re.MULTILINE)
    code = textwrap.dedent(code).replace(PUBLIC_ADDRESS, live_server.url)
    with working(sandbox):
        first, second = (
            subprocess.run([sys.executable, "-c", code, wallet.secret], capture_output=True, text=True, timeout=60)
            for _ in range(2)
        )
    assert re.fullmatch(r"success in ledger \d+ group 1\n", first.stdout), first
    assert (second.returncode, second.stdout) == (1, "")
    assert second.stderr == "This wallet is a member of the group already.\n"


@pytest.mark.parametrize("page", PAGES)
def test_every_json_of_a_page_is_json(page: str) -> None:
    for _, text in blocks(page, "json"):
        json.loads(text)


def test_the_catalogue_has_each_type_with_its_fields() -> None:
    text = (FOLDER / "events.md").read_text()
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## )", text, re.MULTILINE | re.DOTALL))
    assert list(sections) == [kind.name for kind in KINDS]
    for kind, said in KINDS.items():
        section = sections[kind.name]
        assert said in section
        fields = [name for name in kind.codecs if name not in ("group_id", "cycle")]
        assert re.findall(r"^\| `(\w+)` ", section, re.MULTILINE) == fields
        assert all(TEXTS[name] in section for name in fields)
