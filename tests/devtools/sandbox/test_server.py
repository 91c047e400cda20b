"""The sandbox's HTTP server: methods, media types, sizes, and requests that are no JSON-RPC."""

import http.client
import json

import pytest
from stellar_sdk import Keypair, StrKey

from devtools.sandbox.sandbox import Sandbox
from tests.support.jsonrpc import call, post

ALICE, BOB = (Keypair.from_raw_ed25519_seed(bytes([n]) * 32).public_key for n in (1, 2))
OTHER = StrKey.encode_contract(b"\7" * 32)
REQUESTS = [
    (b"[1]", 200, '[{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"request is not a JSON object"}}]'),
    (b'"x"', 200, '{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"request is not a JSON object"}}'),
    (b"null", 200, '{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"invalid version marker"}}'),
    (b"NaN", 500, "[-32700] invalid request value\n"),
    (b"[" * 100_000, 500, "[-32700] invalid request value\n"),
    (
        b'{"jsonrpc":"2.0","id":[1],"method":"getNetwork"}',
        200,
        '{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"invalid request ID"}}',
    ),
    (
        b'{"jsonrpc":"2.0","id":7,"method":"getNetwork","params":1}',
        200,
        '{"jsonrpc":"2.0","id":7,"error":{"code":-32600,"message":"parameters must be array or object"}}',
    ),
    (
        b'{"jsonrpc":"2.0","id":7,"method":"getNetwork","extra":1}',
        200,
        '{"jsonrpc":"2.0","id":7,"error":{"code":-32600,"message":"extra fields in request","data":["extra"]}}',
    ),
    (
        b'{"jsonrpc":"2.0","id":1.50,"method":"<nope>"}',
        200,
        '{"jsonrpc":"2.0","id":1.50,"error":{"code":-32601,"message":"method not found","data":"\\u003cnope\\u003e"}}',
    ),
    (
        b'{"jsonrpc":"2.0","id":1,"method":"\\ud800"}',
        200,
        '{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"method not found","data":"\ufffd"}}',
    ),
    (
        b'{"jsonrpc":"2.0","id":1,"method":"getNetwork","params":{}}',
        200,
        '{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"no parameters accepted"}}',
    ),
]


@pytest.mark.parametrize(("body", "status", "text"), REQUESTS, ids=range(len(REQUESTS)))
def test_a_request_that_is_wrong_in_itself_is_answered_as_the_server_answers(
    sandbox: Sandbox, body: bytes, status: int, text: str
) -> None:
    assert post(sandbox, body) == (status, text)


def test_a_batch_of_one_is_answered_by_a_batch(sandbox: Sandbox) -> None:
    _, text = post(sandbox, b'[{"jsonrpc":"2.0","id":1,"method":"getHealth"}]')
    assert json.loads(text)[0]["result"]["status"] == "healthy"


@pytest.mark.parametrize(
    ("media_type", "status"),
    [
        ("application/json", 200),
        ("APPLICATION/JSON; charset=utf8", 200),
        ("application/json; charset", 200),
        ("application/json; charset=UTF-8", 415),
        ("application/json; charset=latin-1", 415),
        ("text/plain", 415),
        ("", 415),
    ],
)
def test_only_json_in_utf_8_is_taken(sandbox: Sandbox, media_type: str, status: int) -> None:
    body = b'{"jsonrpc":"2.0","id":1,"method":"getHealth"}'
    assert post(sandbox, body, **{"Content-Type": media_type})[0] == status


@pytest.mark.parametrize("verb", ["GET", "PUT", "DELETE", "HEAD", "PATCH"])
def test_any_other_verb_is_not_allowed(sandbox: Sandbox, verb: str) -> None:
    assert post(sandbox, b"", verb) == (405, "")


def test_a_body_may_have_512_kibibytes_and_no_more(sandbox: Sandbox) -> None:
    request = b'{"jsonrpc":"2.0","id":1,"method":"getHealth"}'
    assert post(sandbox, request.ljust(512 * 1024))[0] == 200
    assert post(sandbox, request.ljust(512 * 1024 + 1)) == (500, "http: request body too large\n")


def test_a_body_in_chunks_is_taken_like_any_other(sandbox: Sandbox) -> None:
    host, port = sandbox.server.server_address[:2]
    connection = http.client.HTTPConnection(str(host), port, timeout=10)
    parts = [b'{"jsonrpc":"2.0","id":1,', b'"method":"getHealth"}']
    for _ in range(2):
        headers = {"Content-Type": "application/json"}
        connection.request("POST", "/", iter(parts), headers, encode_chunked=True)
        answer = connection.getresponse()
        assert json.loads(answer.read())["result"]["status"] == "healthy"
    connection.close()


def test_the_friendbot_gives_tokens(sandbox: Sandbox) -> None:
    host, port = sandbox.server.server_address[:2]
    connection = http.client.HTTPConnection(str(host), port, timeout=10)
    for address, status in ((BOB, 200), (OTHER, 200), ("nobody", 400)):
        connection.request("GET", f"/friendbot?addr={address}")
        answer = connection.getresponse()
        answer.read()
        assert answer.status == status
    connection.close()
    assert sandbox.chain.balance(BOB) == sandbox.chain.balance(OTHER) > 0


def test_tests_can_put_an_answer_in_place_of_the_real_one(sandbox: Sandbox) -> None:
    sandbox.answer_next(429, b"slow down", ("Retry-After", "3"))
    assert post(sandbox, b"{}") == (429, "slow down")
    assert call(sandbox, "getHealth")["status"] == "healthy"
