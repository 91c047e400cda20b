"""The guide's module that writes, run by a browser, with a wallet of SEP-43's methods that is asked over HTTP."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from pytest_django.live_server_helper import LiveServer
from stellar_sdk import Keypair, TransactionEnvelope

from ajo.api.guide import FOLDER
from devtools.sandbox.sandbox import Sandbox
from tests.support.building import building
from tests.support.chromium import chromium
from tests.support.sending import ALICE, BOB, CAROL
from tests.support.worker import working

__all__ = ["building"]
pytestmark = pytest.mark.django_db(transaction=True)
KEYS = {key.public_key: key for key in (ALICE, BOB, CAROL)}
DECLINED = {"error": {"code": -4, "message": "The user declined."}}


def sign(method: str, xdr: str, address: str, passphrase: str) -> dict[str, Any]:
    """Answer as a wallet does: CAROL's user declines to pay."""
    key = KEYS[address]
    if method == "signAuthEntry":
        signature = key.sign(hashlib.sha256(base64.b64decode(xdr)).digest())
        return {"signedAuthEntry": base64.b64encode(signature).decode(), "signerAddress": address}
    if key is CAROL:
        return DECLINED
    envelope = TransactionEnvelope.from_xdr(xdr, passphrase)
    envelope.sign(key)
    return {"signedTxXdr": envelope.to_xdr(), "signerAddress": address}


class Wallet(BaseHTTPRequestHandler):
    """Signs what is posted, for a page of any origin."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps(sign(asked["method"], asked["xdr"], asked["address"], asked["networkPassphrase"])).encode()
        self.send_response(200)
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def wallet() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Wallet) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def joining(member: Keypair, source: Keypair) -> dict[str, Any]:
    args = {"member": member.public_key, "group_id": "1"}
    return {"function": "join_group", "source": source.public_key, "args": args}


def test_a_page_writes_with_a_wallet(live_server: LiveServer, building: Sandbox) -> None:
    code = json.dumps((FOLDER / "write.mjs").read_text())
    with wallet() as address, working(building), chromium() as page:
        # from another origin than the service's, as a page of an app is
        assert page.open(f"{live_server.url.replace('localhost', '127.0.0.1')}/api/v1/") == 200  # without a policy
        page.run(
            "window.wallet = Object.fromEntries(['signAuthEntry', 'signTransaction'].map((method) => [method, "
            f"(xdr, o) => fetch({json.dumps(address)}, {{method: 'POST', body: JSON.stringify({{...o, method, xdr}})}})"
            f".then((answer) => answer.json())])); 1"
        )

        def write(request: dict[str, Any]) -> Any:
            arguments = f"{json.dumps(live_server.url + '/api/v1/')}, window.wallet, {json.dumps(request)}"
            return page.run(
                f"import(URL.createObjectURL(new Blob([{code}], {{type: 'text/javascript'}})))"
                f".then((module) => module.write({arguments}))"
                ".catch((failure) => [failure.message, failure.code, failure.contract_error?.name])"
            )

        paid_by_another = write(joining(BOB, ALICE))
        assert (paid_by_another["status"], paid_by_another["events"][0]["type"]) == ("success", "joined")
        assert write(joining(BOB, ALICE)) == ["refused", "contract_error", "AlreadyMember"]
        (complaint,) = page.take_complaints()
        assert "status of 409" in complaint
        assert write(joining(CAROL, CAROL)) == ["The user declined.", None, None]
