"""The checker in JavaScript, run by a browser against the sandbox."""

from __future__ import annotations

import json

import pytest
from pytest_django.live_server_helper import LiveServer

from ajo.api.guide import FOLDER
from ajo.soroban.rpc.client import SorobanClient
from devtools.sandbox.sandbox import Sandbox
from groups.models import Group
from tests.support.chromium import chromium
from tests.support.following import RUNNING, make_full_groups

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_checker_in_a_browser_finds_a_lie_and_nothing_else(
    live_server: LiveServer, sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    make_full_groups(sandbox, client_of_chain)
    code = json.dumps((FOLDER / "check_group.mjs").read_text())
    module = f"import(URL.createObjectURL(new Blob([{code}], {{type: 'text/javascript'}})))"

    with chromium() as page:
        # from another origin than the service's and the RPC's, as a page of an app is
        assert page.open(f"{live_server.url.replace('localhost', '127.0.0.1')}/api/v1/") == 200  # without a policy

        def check(contract: str) -> object:
            arguments = json.dumps([f"{live_server.url}/api/v1/", sandbox.url, contract, str(RUNNING)])
            return page.run(f"{module}.then((checker) => checker.check(...{arguments}))")

        assert check(sandbox.contract) == []
        assert check(sandbox.chain.token) == ["another contract"]
        group = Group.objects.get(pk=RUNNING)
        Group.objects.filter(pk=RUNNING).update(metadata_xdr=group.entry_xdr)
        found = check(sandbox.contract)
        assert isinstance(found, list)
        assert len(found) == 1
