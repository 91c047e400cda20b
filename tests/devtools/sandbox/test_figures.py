"""Figures that the replay sets aside: bytes and fees are the network's own, instructions come near them."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from stellar_sdk import xdr

from devtools.replay import exchanges, writing
from tests.support.recordings import EXCHANGES

# The sandbox has no bytes of the contracts' code.
_WITH_CODE = ("instance, code", "instance and code", "upload: empty")
_BYTES = ("disk_read_bytes", "write_bytes")

Pair = tuple[str, dict[str, Any], dict[str, Any]]


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    """What was recorded and what the sandbox answers, of every simulation and look-up, by the case's name."""
    found: list[Pair] = []
    asked = exchanges.ask

    def ask(url: str, exchange: dict[str, Any], settle: Any) -> Iterator[str]:
        request = exchange.get("request")
        if isinstance(request, dict) and request.get("method") in ("simulateTransaction", "getTransaction"):
            recorded = exchange["response"].get("result", {})
            answered = requests.post(url, json=request, timeout=30).json().get("result", {})
            found.append((f"{exchange.get('case')}", recorded, answered))
        yield from asked(url, exchange, settle)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(writing, "ask", ask)
        for path in EXCHANGES:
            if path.stem.startswith("writing-") and path.stem != "writing-settings":
                list(writing.replay_writing(json.loads(path.read_text()), path))
    return [each for each in found if not any(words in each[0] for words in _WITH_CODE)]


def test_bytes_of_simulations_are_exact(pairs: list[Pair]) -> None:
    count = 0
    for case, recorded, answered in pairs:
        if recorded.get("transactionData"):
            wanted, found = (
                xdr.SorobanTransactionData.from_xdr(each["transactionData"]) for each in (recorded, answered)
            )
            for name in _BYTES:
                assert (case, getattr(found.resources, name)) == (case, getattr(wanted.resources, name))
            count += 1
    assert count > 100


def test_fees_of_simulations_are_within_one_percent(pairs: list[Pair]) -> None:
    for case, recorded, answered in pairs:
        if "minResourceFee" in recorded:
            wanted, found = int(recorded["minResourceFee"]), int(answered["minResourceFee"])
            assert abs(found - wanted) * 100 <= wanted, f"{case}: {found} instead of {wanted}"


def test_what_was_charged_is_exact(pairs: list[Pair]) -> None:
    charged = [(case, _charged(recorded), _charged(answered)) for case, recorded, answered in pairs]
    assert len([each for each in charged if each[1]]) > 30
    for case, wanted, found in charged:
        assert (case, found) == (case, wanted)


def _charged(result: dict[str, Any]) -> list[int]:
    if "resultXdr" not in result:
        return []
    found = [xdr.TransactionResult.from_xdr(result["resultXdr"]).fee_charged.int64]
    meta = xdr.TransactionMeta.from_xdr(result["resultMetaXdr"]).v4
    told = meta and meta.soroban_meta and meta.soroban_meta.ext.v1
    if told:
        found.append(told.total_non_refundable_resource_fee_charged.int64)
        found.append(told.total_refundable_resource_fee_charged.int64)
        found.append(told.rent_fee_charged.int64)
    return found
