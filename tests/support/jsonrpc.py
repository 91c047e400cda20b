"""Raw requests to a sandbox's RPC."""

import http.client
import json
from typing import Any

from devtools.sandbox.sandbox import Sandbox


def post(sandbox: Sandbox, body: bytes, verb: str = "POST", **headers: str) -> tuple[int, str]:
    """Send a body to the sandbox, and return the answer's status and text."""
    host, port = sandbox.server.server_address[:2]
    connection = http.client.HTTPConnection(str(host), port, timeout=10)
    try:
        connection.request(verb, "/", body, {"Content-Type": "application/json", **headers})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def call(sandbox: Sandbox, method: str, params: Any = None) -> Any:
    """Call a method, and return its result, or its error as (code, message)."""
    request = {"jsonrpc": "2.0", "id": 1, "method": method} | ({} if params is None else {"params": params})
    found = json.loads(post(sandbox, json.dumps(request).encode())[1])
    if "error" in found:
        return found["error"]["code"], found["error"]["message"]
    return found["result"]
