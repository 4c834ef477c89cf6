"""`charter ledger`: the JSON that scripts rely on, exit codes, and output that no record can misuse."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from ledger.cli import ledger as command
from ledger.proof import check
from ledger.record import Record

if TYPE_CHECKING:
    from pathlib import Path

    from ledger.store import Ledger

KEYS = ["id", "log", "index", "kind", "time", "room", "actor", "subject", "body"]


@pytest.fixture
def state(ledger: Ledger, tmp_path: Path) -> str:
    """A state directory with a few records."""
    pdu = {"type": "m.room.message", "content": {"body": "evil \x1b[31m\u202e text"}}
    ledger.append(
        [
            Record.of_event("$1", "!r:a", pdu),
            Record("r-1", "logon", 1_790_000_000_000, None, "@bob:a", None, {"ok": True}),
        ]
    )
    ledger.append([Record("r-2", "alarm", 2**62, body={"text": "x", "odd": float("nan")})])
    return str(tmp_path)


def run(*arguments: str) -> Result:
    """Runs the command."""
    return CliRunner().invoke(command, arguments, catch_exceptions=False)


def test_search_json(state: str) -> None:
    """A list of records with the keys of the contract, oldest first."""
    result = run("search", "--state", state, "--json")
    found = json.loads(result.stdout)
    assert [list(record) if "NaN" not in result.stdout else KEYS for record in found] == [KEYS] * 3
    assert [record["index"] for record in found] == [0, 1, 2]
    assert {"id": "r-1", "kind": "logon", "actor": "@bob:a", "log": "main"}.items() <= found[1].items()
    assert result.exit_code == 0


def test_search_by_time_and_person(state: str) -> None:
    """Times are ISO 8601 or milliseconds."""
    for since in ("1790000000000", "2026-09-21T13:00Z", "2026-09-21 13:00"):
        result = run("search", "--state", state, "--json", "--since", since, "--person", "bob")
        assert [record["id"] for record in json.loads(result.stdout)] == ["r-1"]
    assert run("search", "--state", state, "--since", "yesterday").exit_code == 2


def test_search_for_people_is_safe(state: str) -> None:
    """What would move the cursor or turn the text around is shown, not done."""
    result = run("search", "--state", state, "--limit", "1")
    assert "\x1b" not in result.stdout
    assert "\u202e" not in result.stdout
    assert "\\u001b" in result.stdout.replace("\n", "")
    assert "more may follow" in result.stderr


def test_verify_exit_codes(state: str, url: str) -> None:
    """0 clean, 1 the evidence failed, 2 there is nothing to verify."""
    result = run("verify", "--state", state, "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, {"ok": True, "logs": {"main": 3}, "faults": []})
    with sqlite3.connect(url.removeprefix("sqlite:///")) as database:
        database.execute("UPDATE ledger_records SET actor = '@eve:a' WHERE id = 'r-1'")
    database.close()
    result = run("verify", "--ledger", url, "--json")
    assert (result.exit_code, *(json.loads(result.stdout)["faults"][0][key] for key in ("kind", "index"))) == (
        1,
        "altered",
        1,
    )
    assert "altered: main 1" in run("verify", "--ledger", url).stdout
    assert run("prove", "r-1", "--ledger", url).exit_code == 1
    assert run("verify", "--state", "/nonexistent").exit_code == 2


def test_prove(state: str) -> None:
    """The proof is JSON that checks offline; events are proven by their event id."""
    assert check(json.loads(run("prove", "r-1", "--state", state).stdout)).id == "r-1"
    assert check(json.loads(run("prove", "$1", "--state", state).stdout)).body["event_id"] == "$1"
    missing = run("prove", "r-none", "--state", state)
    assert (missing.exit_code, missing.stderr) == (1, "error: no record has the id 'r-none'\n")


def test_export(state: str, tmp_path: Path) -> None:
    """One line for each record, to a file or the standard output."""
    assert run("export", "--state", state, "--output", str(tmp_path / "out.jsonl")).exit_code == 0
    lines = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    assert lines == run("export", "--state", state).stdout.splitlines()
    assert [json.loads(line)["index"] for line in lines] == [0, 1, 2]


def test_deployment_names_the_ledger(state: str, url: str, tmp_path: Path) -> None:
    """Where deployment.json names a ledger, that one is read."""
    elsewhere = tmp_path / "state"
    elsewhere.mkdir()
    for named in (url, url.removeprefix("sqlite:///"), "../ledger/ledger.db"):
        (elsewhere / "deployment.json").write_text(json.dumps({"ledger": named}))
        assert len(json.loads(run("search", "--state", str(elsewhere), "--json").stdout)) == 3
    (elsewhere / "deployment.json").write_text("{")
    assert run("search", "--state", str(elsewhere)).exit_code == 2
    assert state
