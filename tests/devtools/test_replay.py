"""The replay finds no difference in what was recorded, and every difference in what was altered."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stellar_sdk import xdr as sdk

from devtools.replay.__main__ import main, replay
from devtools.replay.settled import EXCEPTIONS
from tests.support.recordings import EXCHANGES, HERE, VECTORS

Alter = Callable[[dict[str, Any]], None]


@pytest.mark.parametrize("path", [*VECTORS, *EXCHANGES], ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_what_was_recorded_is_played_without_a_difference(path: Path) -> None:
    what, found, _ = replay(path)
    assert found == []
    assert int(what.split()[0]) > 0


def altered(tmp_path: Path, source: Path, alter: Alter) -> list[str]:
    document = json.loads(source.read_text())
    alter(document)
    target = tmp_path / source.parent.name / source.name
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(document))
    if source.parent.name == "rpc":
        (tmp_path / "vectors").symlink_to(HERE / "vectors")
    return replay(target)[1]


def first(document: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(step for step in document["steps"] if step.get(name) and not step.get("view"))
    return found


def another_amount(document: dict[str, Any]) -> None:
    document["minted"][0][1] = "5"


def another_error(document: dict[str, Any]) -> None:
    first(document, "error")["error"] = 44


def a_success(document: dict[str, Any]) -> None:
    step = first(document, "error")
    del step["error"]
    step["result"] = "AAAAAQ=="


def another_time(document: dict[str, Any]) -> None:
    first(document, "changes")["timestamp"] += 1
    next(step for step in document["steps"] if step["fn"] == "create_group" and "result" in step)["timestamp"] += 1


def a_lost_event(document: dict[str, Any]) -> None:
    first(document, "events")["events"].pop()


def a_lost_change(document: dict[str, Any]) -> None:
    first(document, "changes")["changes"].pop()


def a_damaged_change(document: dict[str, Any]) -> None:
    change = first(document, "changes")["changes"][0]
    change["xdr"] = change["xdr"][:-8] + "AAAAAA=="


def a_lost_step(document: dict[str, Any]) -> None:
    document["steps"].remove(first(document, "events"))


ALTERATIONS = [another_error, a_success, another_time, a_lost_event, a_lost_change, a_damaged_change, a_lost_step]


@pytest.mark.parametrize("alter", ALTERATIONS, ids=lambda alter: alter.__name__)
def test_an_altered_step_is_a_difference(tmp_path: Path, alter: Alter) -> None:
    assert altered(tmp_path, HERE / "vectors" / "errors.json", alter)


def test_another_balance_at_the_start_is_a_difference(tmp_path: Path) -> None:
    assert altered(tmp_path, HERE / "vectors" / "lifecycle.json", another_amount)


def test_one_altered_step_does_not_make_the_others_differ(tmp_path: Path) -> None:
    assert len(altered(tmp_path, HERE / "vectors" / "errors.json", another_error)) == 1


def recorded(document: dict[str, Any], method: str) -> dict[str, Any]:
    found: dict[str, Any] = next(
        each["response"]["result"]
        for each in document["exchanges"]
        if each.get("request", {}).get("method") == method and "result" in each["response"]
    )
    return found


def another_cursor(document: dict[str, Any]) -> None:
    recorded(document, "getEvents")["cursor"] = "0"


def another_event(document: dict[str, Any]) -> None:
    recorded(document, "getEvents")["events"][0]["txHash"] = "00"


def a_number_as_text(document: dict[str, Any]) -> None:
    recorded(document, "getHealth")["latestLedger"] = str(recorded(document, "getHealth")["latestLedger"])


def a_field_more(document: dict[str, Any]) -> None:
    recorded(document, "getLedgerEntries")["entries"][0]["more"] = 1


def another_status(document: dict[str, Any]) -> None:
    next(each for each in document["exchanges"] if "http" in each)["status"] = 400


def another_text(document: dict[str, Any]) -> None:
    next(each for each in document["exchanges"] if "http" in each)["text"] = "no"


def another_message(document: dict[str, Any]) -> None:
    failed = next(each for each in document["exchanges"] if "error" in each.get("response", {}))
    failed["response"]["error"]["message"] += "!"


RPC_ALTERATIONS = [
    another_cursor,
    another_event,
    a_number_as_text,
    a_field_more,
    another_status,
    another_text,
    another_message,
]


@pytest.mark.parametrize("alter", RPC_ALTERATIONS, ids=lambda alter: alter.__name__)
def test_an_altered_exchange_is_a_difference(tmp_path: Path, alter: Alter) -> None:
    assert altered(tmp_path, HERE / "rpc" / "router.json", alter)


def test_what_is_not_to_be_compared_is_not(tmp_path: Path) -> None:
    def alter(document: dict[str, Any]) -> None:
        recorded(document, "getLatestLedger")["id"] = "another"
        recorded(document, "getFeeStats")["inclusionFee"]["max"] = "77"
        recorded(document, "getTransaction")["envelopeXdr"] = "another"
        for entry in recorded(document, "getLedgerEntries")["entries"]:
            entry["liveUntilLedgerSeq"] = 1

    assert altered(tmp_path, HERE / "rpc" / "router.json", alter) == []


def written(document: dict[str, Any], method: str, field: str) -> dict[str, Any]:
    """The first result about writing that has a field."""
    found: dict[str, Any] = next(
        result
        for each in document["exchanges"]
        if each.get("request", {}).get("method") == method and field in (result := each["response"].get("result", {}))
    )
    return found


def a_smaller_footprint(document: dict[str, Any]) -> None:
    result = written(document, "simulateTransaction", "transactionData")
    data = sdk.SorobanTransactionData.from_xdr(result["transactionData"])
    data.resources.footprint.read_write.pop()
    result["transactionData"] = data.to_xdr()


def a_lost_authorization(document: dict[str, Any]) -> None:
    next(
        each["response"]["result"]["results"][0]["auth"]
        for each in document["exchanges"]
        if each.get("response", {}).get("result", {}).get("results", [{}])[0].get("auth")
    ).pop()


def a_lost_state_change(document: dict[str, Any]) -> None:
    written(document, "simulateTransaction", "stateChanges")["stateChanges"].pop()


def another_refusal(document: dict[str, Any]) -> None:
    result = written(document, "simulateTransaction", "error")
    result["error"] = result["error"].replace("#", "#4", 1)


def a_lost_diagnostic(document: dict[str, Any]) -> None:
    written(document, "simulateTransaction", "events")["events"].pop()


def another_answer(document: dict[str, Any]) -> None:
    written(document, "sendTransaction", "status")["status"] = "DUPLICATE"


def another_result(document: dict[str, Any]) -> None:
    written(document, "getTransaction", "resultXdr")["resultXdr"] = "AAAAAAAAAGT////7AAAAAA=="


def an_event_of_the_ledger_less(document: dict[str, Any]) -> None:
    written(document, "getTransaction", "events")["events"]["transactionEventsXdr"].pop()


WRITING_ALTERATIONS = [
    ("calls", a_smaller_footprint),
    ("calls", a_lost_authorization),
    ("shapes", a_lost_state_change),
    ("refused", another_refusal),
    ("refused", a_lost_diagnostic),
    ("send", another_answer),
    ("results", another_result),
    ("results", an_event_of_the_ledger_less),
]


@pytest.mark.parametrize(("name", "alter"), WRITING_ALTERATIONS, ids=lambda each: getattr(each, "__name__", each))
def test_an_altered_answer_about_writing_is_one_difference(tmp_path: Path, name: str, alter: Alter) -> None:
    (tmp_path / "rpc").mkdir()
    shutil.copy(HERE / "rpc" / "writing-settings.json", tmp_path / "rpc")
    assert len(altered(tmp_path, HERE / "rpc" / f"writing-{name}.json", alter)) == 1


def test_figures_of_writing_are_not_compared(tmp_path: Path) -> None:
    def alter(document: dict[str, Any]) -> None:
        result = written(document, "simulateTransaction", "transactionData")
        data = sdk.SorobanTransactionData.from_xdr(result["transactionData"])
        data.resources.instructions.uint32 += 1
        result |= {"transactionData": data.to_xdr(), "minResourceFee": "1"}

    (tmp_path / "rpc").mkdir()
    shutil.copy(HERE / "rpc" / "writing-settings.json", tmp_path / "rpc")
    assert altered(tmp_path, HERE / "rpc" / "writing-walk.json", alter) == []


def test_what_is_never_compared_is_said_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(HERE / "rpc" / "writing-limit.json")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("requests, 0 differences")
    assert len(lines) == 1 + len(EXCEPTIONS)
    assert all(each.startswith("not compared: ") for each in lines[1:])


def test_the_command_says_a_line_for_each_file_and_difference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = HERE / "vectors" / "router.json"
    document = json.loads(good.read_text())
    first(document, "events")["events"].pop()
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps(document))
    assert main([str(good)]) == 0
    assert main([str(good), str(bad)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == lines[1] == f"{good}: 37 steps, 0 differences"
    assert lines[2] == f"{bad}: 37 steps, 1 differences"
    assert len(lines) == 4


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not JSON"),
        ("[]", "is not a JSON object"),
        ("{}", "has neither steps, entries nor exchanges"),
        ('{"steps": [{}]}', "not of a form that can be replayed: KeyError 'contract'"),
        ('{"exchanges": [], "vectors": "none.json"}', "neither beside it nor in ../vectors"),
        ('{"entries": [{}]}', "KeyError 'key'"),
        ('{"contract": "", "token": "", "router": "", "minted": [], "steps": [7]}', "not of a form"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line_and_exit_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    path = tmp_path / "file.json"
    path.write_text(text)
    assert main([str(path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    assert words in lines[0]
    assert main([str(tmp_path / "absent.json")]) == 1
    assert "cannot be read" in capsys.readouterr().out


def test_without_files_the_command_says_how_it_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage" in capsys.readouterr().err
