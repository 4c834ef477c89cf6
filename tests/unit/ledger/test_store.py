"""The store on SQLite: order, idempotence, state, one writer, searching, migrations."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import LedgerBusyError, LedgerError, LedgerOpenError, RecordError, UnknownRecordError
from ledger.proof import ProofError, check
from ledger.record import Record
from ledger.store import Ledger, open_ledger
from ledger.tables import SCHEMA_REVISION, from_column, to_column


def refusal(number: int, **fields: str) -> Record:
    """Returns a refusal whose id ends in its number."""
    body = {"feature": "file.image", "decision": "deny", "reason": 'No. Äpfel & 100% \\ "Birnen"', **fields}
    return Record(f"r-{number:05d}", "refusal", 1000 + number, "!floor:acme.example", "@bob:acme.example", None, body)


def test_indexes_count_up_over_appends(ledger: Ledger) -> None:
    """Records keep their order, within a batch and from batch to batch."""
    assert ledger.append([refusal(3), refusal(1), refusal(2)]) == [0, 1, 2]
    assert ledger.append([refusal(0)]) == [3]
    assert [entry.record.id for entry in ledger.search()] == ["r-00003", "r-00001", "r-00002", "r-00000"]


def test_a_repeated_append_changes_nothing(ledger: Ledger) -> None:
    """Ids that are there are left out, in the batch itself and from before; their indexes are returned."""
    assert ledger.append([refusal(0), refusal(1), refusal(0)]) == [0, 1, 0]
    assert ledger.append([refusal(1), refusal(2), refusal(0)]) == [1, 2, 0]
    assert ledger.heads()[0].size == 3
    assert ledger.verify().ok


def test_state_is_committed_with_the_records(ledger: Ledger) -> None:
    """Keys are set, replaced and deleted, hostile values included; without records as well."""
    ledger.append([refusal(0)], source_state={"since": "s1", "inbox:1": "\0\\\ud800", "inbox:2": "x", "other": "y"})
    ledger.append([], source_state={"since": "s2", "inbox:2": None})
    assert [ledger.state("since"), ledger.state("inbox:2")] == ["s2", None]
    assert ledger.states("inbox:") == {"inbox:1": "\0\\\ud800"}


def test_a_batch_is_all_or_nothing(ledger: Ledger) -> None:
    """A body that is no JSON stops the whole call, before anything is written."""
    with pytest.raises(RecordError):
        ledger.append([refusal(0), Record("r-1", "alarm", 0, body={"a": b"bytes"})], source_state={"since": "s1"})
    assert ledger.search() == []
    assert ledger.state("since") is None


def test_hostile_records_are_kept_whole(ledger: Ledger, url: str) -> None:
    """NUL, lone surrogates, huge numbers and deep nesting are stored and read back as they were."""
    deep: object = 1
    for _ in range(5000):
        deep = [deep]
    bodies: list[dict[str, object]] = [{"a": "\0\ud800"}, {"n": 10**5000}, {"f": float("inf")}, {"\0": 1.5}]
    records = [Record(f"\ud800\0\\u{n}", "k\0", n, "\0", "\ud8ff", "\\0", body) for n, body in enumerate(bodies)]
    ledger.append([*records, Record("deep", "event", 0, body={"d": deep})])
    assert records == [entry.record for entry in ledger.search(kind="k\0")]
    assert ledger.get("deep").record.id == "deep"
    assert ledger.verify().ok
    assert check(ledger.prove(records[0].id)) == records[0]
    with open_ledger(url, read_only=True) as reader:
        assert len(reader.search(limit=None)) == 5


def test_one_writer_for_each_log(ledger: Ledger, url: str) -> None:
    """A second writer of a log is refused at once; another log is free, and so is this one when its writer has gone."""
    ledger.append([refusal(0)])
    with open_ledger(url) as other:
        with pytest.raises(LedgerBusyError, match="'main' already has a writer"):
            other.append([refusal(1)])
        assert other.append([refusal(1)], log="decrypted") == [0]
        ledger.close()
        assert other.append([refusal(2)]) == [1]
        assert [(head.log, head.size) for head in other.heads()] == [("decrypted", 1), ("main", 2)]
        assert other.verify().ok


def test_the_random_salts_differ(ledger: Ledger, url: str) -> None:
    """Each record has a salt of 32 bytes of its own."""
    ledger.append([refusal(number) for number in range(50)])
    with sqlite3.connect(url.removeprefix("sqlite:///")) as database:
        salts = {row[0] for row in database.execute("SELECT salt FROM ledger_records")}
    database.close()
    assert [50, {32}] == [len(salts), {len(salt) for salt in salts}]


def test_only_the_owner_may_read_the_files(ledger: Ledger, url: str) -> None:
    """The ledger, its log and its locks are mode 0600 in a directory of mode 0700."""
    ledger.append([refusal(0)])
    folder = Path(url.removeprefix("sqlite:///")).parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {0o600} == {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}


@pytest.mark.parametrize(
    ("conditions", "numbers"),
    [
        ({"person": "@eve:acme.example"}, [7]),
        ({"person": "bob", "limit": 2}, [0, 1]),
        ({"person": "bo"}, []),
        ({"kind": "logon"}, [7]),
        ({"room": "!floor:acme.example", "since": 1002, "until": 1004}, [2, 3]),
        ({"text": "äPFEL & 100%", "after": "r-00004"}, [5, 6]),
        ({"text": '\\ "birnen"', "limit": 1}, [0]),
        ({"text": "file.image", "since": 1006}, [6]),
        ({"text": "feature"}, []),
        ({"text": "1_0"}, []),
        ({"feature": "file.image", "decision": "deny", "since": 1005}, [5, 6]),
        ({"feature": "file.%"}, []),
        ({"log": "main", "since": 1007}, [7]),
        ({"log": "other"}, []),
    ],
)
def test_search(ledger: Ledger, conditions: dict[str, object], numbers: list[int]) -> None:
    """All conditions hold together; wildcards of the database mean themselves; keys of a body are no text."""
    ledger.append([refusal(number) for number in range(7)])
    ledger.append(
        [Record("r-00007", "logon", 1007, None, None, "@eve:acme.example", {"ok": True, "feature": {"x": 1}})]
    )
    found = ledger.search(**conditions)  # type: ignore[arg-type]  # a table of keywords
    assert numbers == [int(entry.record.id[2:]) for entry in found]


def test_pages_join_without_gap_or_overlap(ledger: Ledger) -> None:
    """Paging by the last id shows each record once, also beyond one page of the database."""
    ledger.append([refusal(number) for number in range(1203)])
    seen: list[str] = []
    while page := ledger.search(text="birnen", limit=100, after=seen[-1] if seen else None):
        seen += [entry.record.id for entry in page]
    assert [f"r-{number:05d}" for number in range(1203)] == seen
    assert len(ledger.search(limit=None)) == 1203


def test_unknown_ids(ledger: Ledger) -> None:
    """Asking for what is not there is an error with the id."""
    for ask in (ledger.get, ledger.prove, lambda record_id: ledger.search(after=record_id)):
        with pytest.raises(UnknownRecordError) as caught:
            ask("r-none")
        assert caught.value.record_id == "r-none"


def test_a_proof_is_of_this_record_only(ledger: Ledger) -> None:
    """A proof leads to the log's root, and none that was changed does."""
    ledger.append([refusal(number) for number in range(300)])
    proof = ledger.prove("r-00123")
    assert check(proof) == refusal(123)
    changes = [
        {"record": proof["record"].replace("bob", "eve")},
        {"record": proof["record"].replace(",", ", ")},
        {"record": "{}"},
        {"record": None},
        {"index": 124},
        {"size": "300"},
        {"root": proof["salt"]},
        {"salt": proof["root"]},
        {"salt": "AAAA"},
        {"salt": "?"},
        {"path": proof["path"][1:]},
        {"path": [5]},
        {"path": None},
        {"format": "other"},
    ]
    for change in changes:
        with pytest.raises(ProofError):
            check({**proof, **change})


def test_a_reader_needs_a_ledger(tmp_path: Path) -> None:
    """Reading creates nothing, and says what is missing."""
    for name, content in (("none.db", None), ("empty.db", b""), ("text.db", b"no database" * 100)):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(LedgerOpenError, match=r"no such file|no ledger|not a database"):
            open_ledger(f"sqlite:///{tmp_path}/{name}", read_only=True)
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize("bad", ["sqlite://", "sqlite:///:memory:", "mysql://x/y", "nonsense"])
def test_other_databases_are_refused(bad: str) -> None:
    """Only SQLite in a file and PostgreSQL."""
    with pytest.raises(LedgerOpenError):
        open_ledger(bad)


def test_a_reader_writes_nothing(ledger: Ledger, url: str) -> None:
    """A ledger that is open for reading refuses to append."""
    ledger.append([refusal(0)])
    with open_ledger(url, read_only=True) as reader, pytest.raises(LedgerError, match="reading only"):
        reader.append([refusal(1)])


def test_names_of_logs(ledger: Ledger) -> None:
    """A log's name is a file name as well: nothing but plain characters."""
    for name in ("", "../x", "A", "x" * 65, "~schema"):
        with pytest.raises(LedgerError, match="no name of a log"):
            ledger.append([refusal(0)], log=name)


def test_a_later_schema_is_refused(ledger: Ledger, url: str) -> None:
    """A ledger of a later version is neither read nor written."""
    ledger.append([refusal(0)])
    ledger.close()
    with sqlite3.connect(url.removeprefix("sqlite:///")) as database:
        database.execute("UPDATE ledger_version SET version_num = '9999'")
    database.close()
    for read_only in (True, False):
        with pytest.raises(LedgerOpenError, match="schema"):
            open_ledger(url, read_only=read_only)


def test_the_migrations_end_where_the_program_begins() -> None:
    """`SCHEMA_REVISION` is the head of the migrations."""
    config = Config()
    config.set_main_option("script_location", "ledger:migrations")
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_current_head() == SCHEMA_REVISION


@given(st.text(st.characters(exclude_categories=())))
def test_columns_hold_every_string(text: str) -> None:
    """What a column holds has UTF-8 and no NUL, and is read back as it was."""
    column = to_column(text)
    assert "\0" not in column
    column.encode()
    assert text == from_column(column)
