"""The network's limits: read from recorded settings, and what recorded simulations need of them."""

from __future__ import annotations

from typing import Any

import pytest
from stellar_sdk.xdr import LedgerEntry, SorobanTransactionData

from ajo.soroban.rpc.errors import RpcInvalidAnswer
from ajo.soroban.rpc.transactions import Simulation, SimulationAnswer, read_simulation
from ajo.transactions.codes import Code
from ajo.transactions.conflicts import Conflict
from ajo.transactions.limits import KEYS, Limits, check_limits, decode_limits, events_size, refunds_possible
from tests.support.recordings import writing

ISSUER = "G" + "A" * 55


def recorded_entries() -> dict[str, str]:
    """LedgerEntryData by key of the settings under which the recordings were made."""
    return {each["key"]: LedgerEntry.from_xdr(each["xdr"]).data.to_xdr() for each in writing("settings")["entries"]}


def cancellations() -> list[Simulation]:
    """The recorded simulations of a group too large to be cancelled, in the order of the recording."""
    found = []
    for exchange in writing("limit")["exchanges"]:
        if exchange.get("request", {}).get("method") == "simulateTransaction":
            simulation = read_simulation(SimulationAnswer.model_validate(exchange["response"]["result"]))
            assert isinstance(simulation, Simulation)
            found.append(simulation)
    return found


def test_the_recorded_settings_are_read() -> None:
    limits = decode_limits(recorded_entries())
    assert limits.events == 16_384
    assert limits.lifetime == 3_110_400
    assert limits.size == 132_096
    assert set(KEYS.values()) <= recorded_entries().keys()
    assert limits != Limits()


def test_a_network_without_a_setting_has_the_default() -> None:
    assert decode_limits({}) == Limits()


def test_what_is_no_setting_is_refused() -> None:
    some = next(iter(KEYS.values()))
    with pytest.raises(RpcInvalidAnswer):
        decode_limits({some: "AAAA"})


def test_the_simulation_that_the_ledger_refused_is_refused_by_its_events() -> None:
    """The ledger said: 47 refunds of the native asset make more than 16,384 bytes, 46 do not."""
    limits = decode_limits(recorded_entries())
    allowed, refused = cancellations()
    data = SorobanTransactionData.from_xdr(refused.transaction_data)
    check_limits(limits, data, 1000, events_size(allowed))
    with pytest.raises(Conflict) as conflict:
        check_limits(limits, data, 1000, events_size(refused))
    assert conflict.value.code == Code.LIMITS_EXCEEDED
    assert conflict.value.extra["limit"] == {"name": "events", "used": 47 * 352 + 164 + 4, "allowed": 16_384}


@pytest.mark.parametrize(("name", "most"), [("native", 46), (f"USDC:{ISSUER}", 39)])
def test_how_many_members_can_be_paid_back(name: str, most: int) -> None:
    assert refunds_possible(Limits(), name) == most


@pytest.mark.parametrize("name", ["instructions", "read_bytes", "write_entries", "write_bytes", "footprint", "size"])
def test_each_limit_is_named(name: str) -> None:
    simulation = cancellations()[0]
    data: Any = SorobanTransactionData.from_xdr(simulation.transaction_data)
    tight = Limits(**{name: 0})
    with pytest.raises(Conflict) as conflict:
        check_limits(tight, data, 1000, 0)
    assert conflict.value.extra["limit"]["name"] == name
    assert conflict.value.extra["limit"]["used"] > 0
