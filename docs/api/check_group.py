"""Check what an Ajo service says of a group against any Stellar RPC: python check_group.py API RPC CONTRACT GROUP."""

import json
import sys
import urllib.request


def ask(url: str, body: object = None) -> dict:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def on_chain(rpc: str, keys: list[str]) -> dict[str, dict]:
    found = {}
    for start in range(0, len(keys), 200):  # an RPC takes no more keys at once
        params = {"keys": keys[start : start + 200]}
        answer = ask(rpc, {"jsonrpc": "2.0", "id": 1, "method": "getLedgerEntries", "params": params})
        found.update((entry["key"], entry) for entry in answer["result"]["entries"])
    return found


def check(api: str, rpc: str, contract: str, group: str) -> list[str]:
    """Return what differs; what was written after the service last read the group is left out."""
    said = ask(f"{api}groups/{group}/entries/")
    network = ask(rpc, {"jsonrpc": "2.0", "id": 1, "method": "getNetwork"})["result"]["passphrase"]
    wrong = [] if (said["contract"], said["network_passphrase"]) == (contract, network) else ["another contract"]
    found = on_chain(rpc, [entry["key"] for entry in said["entries"]])
    for entry in said["entries"]:
        real = found.get(entry["key"], {"xdr": "nothing", "lastModifiedLedgerSeq": 0})
        if real["xdr"] != entry["xdr"] and real["lastModifiedLedgerSeq"] <= said["read_ledger"]:
            wrong.append(f"{entry['key']}: the chain has {real['xdr']}")
    return wrong


if __name__ == "__main__":
    sys.exit("\n".join(check(*sys.argv[1:])) or None)
