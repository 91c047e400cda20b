"""Check what an Ajo service says of a group against any Stellar RPC: python check_group.py API RPC CONTRACT GROUP."""

import json
import sys
import urllib.request


def ask(url: str, body: object = None) -> dict:
    data = None if body is None else json.dumps(body).encode()
    try:
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)
    except (OSError, ValueError) as failure:
        raise ValueError(f"{url}: {failure}") from failure


def call(rpc: str, method: str, **params: object) -> dict:
    answer = ask(rpc, {"jsonrpc": "2.0", "id": 1, "method": method} | ({"params": params} if params else {}))
    if "result" not in answer:
        raise ValueError(f"{rpc}: {answer.get('error')}")
    return answer["result"]


def check(api: str, rpc: str, contract: str, group: str) -> list[str]:
    """Return what differs; what was written after the service last read the group is left out."""
    said = ask(f"{api}groups/{group}/entries/")
    network = call(rpc, "getNetwork")["passphrase"]
    wrong = [] if (said["contract"], said["network_passphrase"]) == (contract, network) else ["another contract"]
    keys = [entry["key"] for entry in said["entries"]]
    parts = [keys[start : start + 200] for start in range(0, len(keys), 200)]  # an RPC takes no more at once
    found = {real["key"]: real for part in parts for real in call(rpc, "getLedgerEntries", keys=part)["entries"]}
    for entry in said["entries"]:
        real = found.get(entry["key"], {"xdr": "nothing", "lastModifiedLedgerSeq": 0})
        if real["xdr"] != entry["xdr"] and real["lastModifiedLedgerSeq"] <= said["read_ledger"]:
            wrong.append(f"{entry['key']}: the chain has {real['xdr']}")
    return wrong


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    try:
        differences = check(*sys.argv[1:])
    except (ValueError, LookupError, TypeError) as failure:  # no answer, or none of an Ajo service or an RPC
        sys.exit(f"not checked: {failure}")
    if differences:
        sys.exit("\n".join(differences))
    print("every entry is as the chain has it")
