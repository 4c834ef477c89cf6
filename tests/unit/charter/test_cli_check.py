"""The command line: exit codes, formats, and never a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import click
import pytest

from charter import __version__, catalogue, cli
from charter.errors import CharterError, PolicyRefusedError

ROOT = Path(__file__).parents[3]
ACME = ROOT / "policies" / "acme"
GOLDEN = Path(__file__).parent / "policy" / "golden"
AT = ["--at", "2026-11-23"]
Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHARTER_DEBUG", raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(os, "environ", dict(os.environ))


def test_the_demo_policy_is_clean(capsys: Captured) -> None:
    """The policy that everybody starts from has no error and no warning, also against its own directory."""
    assert cli.run(["check", str(ACME), *AT, "--directory", str(ACME / "directory.ldif")]) == 0
    out = capsys.readouterr().out
    assert out.endswith("rules, 9 groups, no problems\n")
    assert out.count("\n") == 1


def test_wildcards_are_spelled_out(capsys: Captured) -> None:
    """With -v, check shows what each wildcard stands for."""
    assert cli.run(["check", str(ACME), "-v"]) == 0
    assert (
        "staff-files: file.* = file.image, file.video, file.audio, file.voice, file.other, file.download\n"
        in capsys.readouterr().out
    )


@pytest.mark.parametrize("folder", sorted(path.name for path in GOLDEN.iterdir()))
def test_reports_look_as_agreed(folder: str, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    """The golden files are what a person sees, to the letter."""
    monkeypatch.chdir(GOLDEN)
    assert cli.run(["check", folder, *AT]) == 1
    assert capsys.readouterr().out == (GOLDEN / folder / "expected.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("options", [["--json"], ["--format", "json"]])
def test_a_program_reads_json(options: list[str], capsys: Captured) -> None:
    """The contract of scripts, with exit code 1 for a policy that failed."""
    assert cli.run(["check", str(GOLDEN / "shape"), *options]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is False
    assert document["diagnostics"][0]["file"] == "policy.yaml"


def test_warnings_do_not_fail(tmp_path: Path, capsys: Captured) -> None:
    """An old rule is worth a word, not a red build."""
    text = "version: 1\norganisation: {name: A, server_name: a.example, contact: x}\ngrants: [{id: g, to: [everyone], allow: ['*'], until: 2020-01-01}]\n"
    (tmp_path / "a.yaml").write_text(text)
    assert cli.run(["check", str(tmp_path), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["ok"], [one["code"] for one in document["diagnostics"]]) == (True, ["expired-rule"])


@pytest.mark.parametrize(("format_", "start"), [("github", "::error file="), ("sarif", "{")])
def test_other_formats(format_: str, start: str, capsys: Captured) -> None:
    """Annotations and SARIF go to standard output alone."""
    assert cli.run(["check", str(GOLDEN / "shape"), "--format", format_]) == 1
    assert capsys.readouterr().out.startswith(start)


@pytest.mark.parametrize(
    "arguments",
    [["check"], ["check", "/does/not/exist"], ["check", str(ACME), "--format", "xml"], ["check", str(ACME), "--at", "noon"], ["chek"], ["--nonsense"], ["check", str(ACME), "--directory", str(ACME / "grants.yaml")]],
)  # fmt: skip
def test_a_failing_tool_exits_with_two(arguments: list[str], capsys: Captured) -> None:
    """Wrong use is not a wrong policy, and is told in words."""
    assert cli.run(arguments) == cli.TOOL_FAILED
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    assert captured.err
    assert not captured.out


def test_an_empty_directory_is_a_failed_policy(tmp_path: Path, capsys: Captured) -> None:
    """No file is a finding like any other; scenarios and hidden files are no policy."""
    (tmp_path / "x.test.yaml").write_text("cases: []")
    (tmp_path / ".hidden.yaml").write_text("version: 1")
    (tmp_path / "folder.yaml").mkdir()
    assert cli.run(["check", str(tmp_path)]) == 1
    assert "error[no-policy]" in capsys.readouterr().out


def test_features_are_listed(capsys: Captured) -> None:
    """People get a table, programs the whole catalogue."""
    assert cli.run(["features"]) == 0
    assert "chat.text" in capsys.readouterr().out
    assert cli.run(["features", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["id"] for row in rows] == [feature.id for feature in catalogue.FEATURES]
    assert set(rows[0]) == {"id", "summary", "wire"}


def test_the_version_is_told(capsys: Captured) -> None:
    """`charter --version` names program and version."""
    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out == f"charter {__version__}\n"


def _contribute(monkeypatch: pytest.MonkeyPatch, **targets: str) -> None:
    points = {name: EntryPoint(name, target, "charter.commands") for name, target in targets.items()}
    monkeypatch.setattr(cli, "_contributed", lambda: points)


def test_a_broken_package_does_not_break_the_others(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    """Its commands say why they are missing; everything else works."""
    _contribute(monkeypatch, gone="no_such_package.cli:gone", odd="json:dumps")
    assert cli.run(["--help"]) == 0
    assert "(not available here)" in capsys.readouterr().out
    for name, word in (("gone", "no_such_package"), ("odd", "is no command")):
        assert cli.run([name, "--any", "thing"]) == cli.TOOL_FAILED
        assert word in capsys.readouterr().err
    assert cli.run(["features"]) == 0


def test_a_package_cannot_replace_a_core_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """`check` stays the core's."""
    _contribute(monkeypatch, check="json:dumps")
    assert cli.cli.get_command(click.Context(cli.cli), "check") is cli.check_command


def _raising(error: BaseException) -> click.Command:
    def fail() -> None:
        raise error

    return click.Command("fail", callback=fail)


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (CharterError("the door is shut", "open it"), 2, "error: the door is shut\n  = help: open it\n"),
        (
            RuntimeError("a\nb"),
            2,
            "error: unexpected RuntimeError: a b\n  = help: run `charter --debug …` for the traceback, and report it\n",
        ),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (click.ClickException("no"), 2, "Error: no\n"),
    ],
)
def test_errors_become_sentences(
    error: BaseException, code: int, words: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """Whatever happens, a person reads a sentence and a script gets a code."""
    monkeypatch.setattr(cli.Commands, "get_command", lambda *_: _raising(error))
    assert cli.run(["fail"]) == code
    assert capsys.readouterr().err.lstrip("\n") == words


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    """Those who ask for it get it."""
    monkeypatch.setattr(cli.Commands, "get_command", lambda *_: _raising(RuntimeError("deep")))
    assert cli.run(["--debug", "fail"]) == cli.TOOL_FAILED
    assert "Traceback" in capsys.readouterr().err


def test_a_closed_pipe_is_quiet() -> None:
    """`charter features | head -1` says nothing about pipes."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-c", "from charter.cli import main; main()", "features"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False, cwd=ROOT)
    os.close(writing)
    assert (done.returncode, done.stderr) == (cli.TOOL_FAILED, "")


@pytest.mark.parametrize("result", [0, 1, None, True])
def test_a_command_returns_its_exit_code(result: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A number is the exit code; anything else is success."""
    monkeypatch.setattr(cli.Commands, "get_command", lambda *_: click.Command("fail", callback=lambda: result))
    assert cli.run(["fail"]) == (1 if result == 1 and result is not True else 0)


def test_errors_carry_fields() -> None:
    """Callers read fields, people the sentence."""
    error = PolicyRefusedError("policies/acme", 3)
    assert (error.directory, error.count) == ("policies/acme", 3)
    assert str(error) == "the policy in policies/acme has 3 errors (run `charter check policies/acme`)"
    assert str(CharterError("plain")) == "plain"


def test_colour_is_for_terminals_only() -> None:
    """The installed program prints plain text into a pipe and exits with the policy's result."""
    command = [sys.executable, "-c", "from charter.cli import main; main()", "check", str(GOLDEN / "shape")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 1
    assert "\x1b" not in done.stdout
    assert done.stderr == ""
