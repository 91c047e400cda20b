"""What the stack asks its own parts to know that they are up."""

import http.client
import json
import re
from collections.abc import Iterable

from devtools.stack.process import ManagedProcess

STOPPED = "sync: stopped: "  # the prefix in /health/ready of a sync that waits for a person; reads are answered


def health(host: str, port: int) -> tuple[int, list[str]]:
    """Return status and problems of /health/ready; status 0 while there is no answer."""
    return _ask(host, port, "GET", "/health/ready", "problems")


def is_stopped(problems: Iterable[str]) -> bool:
    """Return whether the sync waits for a person, who needs the stack to be up."""
    return any(problem.startswith(STOPPED) for problem in problems)


def serves_reads(status: int, problems: Iterable[str]) -> bool:
    """Return whether reads are answered, if only from the tables of a chain that is gone."""
    return status == http.client.OK or is_stopped(problems)


def is_healthy(port: int) -> bool:
    """Return whether the Stellar RPC on this port reports itself healthy (getHealth)."""
    return (
        _ask("127.0.0.1", port, "POST", "/", "result", {"jsonrpc": "2.0", "id": 1, "method": "getHealth"})[0]
        == http.client.OK
    )


def _ask(host: str, port: int, method: str, path: str, field: str, body: object = None) -> tuple[int, list[str]]:
    connection = http.client.HTTPConnection(host, port, timeout=10)
    try:
        text = None if body is None else json.dumps(body)
        connection.request(method, path, body=text, headers={"Content-Type": "application/json", "Host": "localhost"})
        answer = connection.getresponse()
        return answer.status, list(json.loads(answer.read())[field])
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return 0, []
    finally:
        connection.close()


def contract_of(sandbox: ManagedProcess) -> str:
    """Return the contract's address, from `contract=C…` in the sandbox's ready line; empty before it."""
    found = re.search(r"\bcontract=(C[A-Z2-7]{55})\b", sandbox.log.read_text(errors="replace"))
    return found.group(1) if found else ""


def wallet_of(sandbox: ManagedProcess) -> tuple[str, str] | None:
    """Return address and secret of the sandbox's funded wallet, from its log; None before it is said."""
    found = re.search(r"^wallet: (G[A-Z2-7]{55}) secret=(S[A-Z2-7]{55})\b", sandbox.log.read_text(), re.MULTILINE)
    return (found.group(1), found.group(2)) if found else None
