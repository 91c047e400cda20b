"""The checkers of docs/api, run against the sandbox: they find nothing in a service that tells the truth, and a lie."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest
from pytest_django.live_server_helper import LiveServer

from ajo.api.guide import FOLDER
from ajo.soroban.rpc.client import SorobanClient
from devtools.sandbox.sandbox import Sandbox
from groups.models import Group
from tests.support.following import RUNNING, make_full_groups

pytestmark = pytest.mark.django_db(transaction=True)
MAX_LINES = 40
CHECKERS = ["check_group.py", "check_group.mjs"]


def test_the_module_that_writes_stands_in_the_guide_as_it_is() -> None:
    assert f"\n{(FOLDER / 'write.mjs').read_text()}```\n" in (FOLDER / "writing.md").read_text()


@pytest.mark.parametrize("name", CHECKERS)
def test_a_checker_is_short_and_stands_in_the_guide_as_it_is(name: str) -> None:
    code = (FOLDER / name).read_text()
    assert sum(map(bool, code.split("\n"))) <= MAX_LINES
    assert f"\n{code}```\n" in (FOLDER / "verification.md").read_text()


@pytest.mark.parametrize("name", CHECKERS)
def test_a_checker_finds_a_lie_and_nothing_else(
    name: str, live_server: LiveServer, sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    make_full_groups(sandbox, client_of_chain)
    program = [sys.executable] if name.endswith(".py") else [node()]
    api = f"{live_server.url}/api/v1/"

    def run(api: str, rpc: str, contract: str, group: int) -> tuple[int, str, list[str]]:
        command = [*program, str(FOLDER / name), api, rpc, contract, str(group)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout, done.stderr.splitlines()

    assert run(api, sandbox.url, sandbox.contract, RUNNING) == (0, "every entry is as the chain has it\n", [])
    assert run(api, sandbox.url, sandbox.chain.token, RUNNING) == (1, "", ["another contract"])
    for wrong in (("http://127.0.0.1:1/", sandbox.url, RUNNING), (api, "http://127.0.0.1:1", RUNNING), (api, api, 999)):
        code, stdout, (line,) = run(wrong[0], wrong[1], sandbox.contract, wrong[2])
        assert (code, stdout) == (1, "")
        assert re.match(r"not checked: http\S+: \S", line), line
    assert "groups/999/entries/: " in line
    assert "404" in line
    group = Group.objects.get(pk=RUNNING)
    Group.objects.filter(pk=RUNNING).update(metadata_xdr=group.entry_xdr)
    code, stdout, lies = run(api, sandbox.url, sandbox.contract, RUNNING)
    assert (code, stdout, len(lies)) == (1, "", 1)


def node() -> str:
    found = shutil.which("node")
    if found is None:
        pytest.skip("there is no node here")
    return found
