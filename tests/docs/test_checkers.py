"""The checkers of docs/api, run against the sandbox: they find nothing in a service that tells the truth, and a lie."""

from __future__ import annotations

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
    assert len(code.splitlines()) <= MAX_LINES
    assert f"\n{code}```\n" in (FOLDER / "verification.md").read_text()


def test_the_python_checker_finds_a_lie_and_nothing_else(
    live_server: LiveServer, sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    make_full_groups(sandbox, client_of_chain)

    def run(contract: str) -> subprocess.CompletedProcess[str]:
        arguments = [f"{live_server.url}/api/v1/", sandbox.url, contract, str(RUNNING)]
        return subprocess.run(
            [sys.executable, FOLDER / "check_group.py", *arguments], capture_output=True, text=True, timeout=60
        )

    said = run(sandbox.contract)
    assert (said.returncode, said.stderr) == (0, "")
    assert run(sandbox.chain.token).stderr == "another contract\n"
    group = Group.objects.get(pk=RUNNING)
    Group.objects.filter(pk=RUNNING).update(metadata_xdr=group.entry_xdr)
    lie = run(sandbox.contract)
    assert lie.returncode == 1
    assert len(lie.stderr.splitlines()) == 1
