"""The documentation cannot drift: references follow from the code, links resolve, and every shown command parses."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest
from prometheus_client import REGISTRY

from bots.steward.answers import COMMANDS
from charter.catalogue import FEATURES
from charter.cli import cli
from charter.policy import reference as policy_reference
from tests import generated_docs

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
MANUAL = sorted((ROOT / "docs" / "manual").glob("*.md"))
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
REFERENCE = ROOT / "docs" / "reference"

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_COMMAND = re.compile(r"`(charter [a-z][^`…|]*)`")
_HOST = re.compile(r"https?://([A-Za-z0-9.-]+)")
_HOSTS = frozenset({"127.0.0.1", "keepachangelog.com", "matrix.to", "semver.org"})
"""Hosts that a page may name, besides made-up ones."""


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _prose(text: str) -> str:
    """Return a page without code, in which brackets are no links."""
    return _INLINE.sub("", _FENCE.sub("", text))


def _anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings as code forges make them."""
    headings = _HEADING.findall(_FENCE.sub("", text))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def _commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from _commands(command, (*path, name))


def _shown(path: Path) -> list[str]:
    """Return the `charter …` command lines of a page: prompts in fenced blocks, and complete ones in the text."""
    text = path.read_text(encoding="utf-8")
    lines = [line for _, block in _FENCE.findall(text) for line in block.splitlines()]
    prompts = [line.removeprefix("$ ") for line in lines if line.startswith("$ charter ")]
    return prompts + _COMMAND.findall(_FENCE.sub("", text))


def _parse(line: str) -> None:
    """Parse a line with the real commands: names, options and choices must exist, and no word be left over.

    Brackets mark what may be left out. Words in capitals (DIR, FILE, USER) stand for something; no file is looked for.
    """
    words = shlex.split(line.replace("[", "").replace("]", ""))[1:]
    command: click.Command = cli
    context = click.Context(cli, info_name="charter")
    while isinstance(command, click.Group) and words:
        found = command.get_command(context, words[0])
        assert found is not None, f"no such command: {line}"
        command, context, words = found, click.Context(found, info_name=words[0], parent=context), words[1:]
    values, rest, _ = command.make_parser(context).parse_args(words)
    assert rest == [], f"too many words: {line}"
    for parameter in command.params:
        value = values.get(parameter.name)
        if isinstance(parameter.type, click.Choice | click.IntRange) and isinstance(value, str) and not value.isupper():
            parameter.type_cast_value(context, value)


def test_generated_files_are_what_the_code_says() -> None:
    """`make docs` would change nothing."""
    assert generated_docs.outdated() == []


def test_written_files_are_no_longer_outdated(tmp_path: Path) -> None:
    """Writing below an empty root makes every file, and a second time none."""
    assert set(generated_docs.write(tmp_path)) == set(generated_docs.generated())
    assert generated_docs.write(tmp_path) == []


def test_every_command_is_in_its_reference() -> None:
    """Each command and each of its options."""
    page = (REFERENCE / "cli.md").read_text(encoding="utf-8")
    for path, command in _commands(cli):
        assert f"## `charter {' '.join(path)}`" in page
        section = page.split(f"## `charter {' '.join(path)}`")[1].split("\n## ")[0]
        for parameter in command.params:
            assert all(name in section for name in parameter.opts if name.startswith("--")), path


def test_every_feature_is_in_its_reference() -> None:
    """Each feature, its summary and what it is on the wire."""
    page = (REFERENCE / "features.md").read_text(encoding="utf-8")
    for feature in FEATURES:
        assert f"| `{feature.id}` | {feature.summary} |" in page
        assert all(wire in page for wire in feature.wire)


def test_every_policy_key_is_in_its_reference() -> None:
    """Each property of the schema that editors use."""
    page = (REFERENCE / "policy.md").read_text(encoding="utf-8")

    def keys(schema: object) -> Iterator[str]:
        if isinstance(schema, dict):
            properties = schema.get("properties")
            if isinstance(properties, dict):
                yield from properties
            for part in schema.values():
                yield from keys(part)
        elif isinstance(schema, list):
            for part in schema:
                yield from keys(part)

    assert [key for key in keys(policy_reference.policy_schema()) if f"`{key}`" not in page] == []


def test_every_steward_command_is_in_its_reference() -> None:
    """Each command that people write in chat, also in the manual for employees."""
    page = (REFERENCE / "commands.md").read_text(encoding="utf-8")
    manual = (ROOT / "docs" / "manual" / "employee.md").read_text(encoding="utf-8")
    for command in COMMANDS:
        assert f"`!{command.name}" in page
        assert f"!{command.name}" in manual


def test_every_metric_is_in_the_manual() -> None:
    """Operators find each metric by its name."""
    importlib.import_module("synapse_modules.custody")
    importlib.import_module("synapse_modules.directory_login")
    importlib.import_module("synapse_modules.gatekeeper")
    manual = (ROOT / "docs" / "manual" / "operator.md").read_text(encoding="utf-8")
    names = {metric.name for metric in REGISTRY.collect() if metric.name.startswith("charter_")}
    assert len(names) > 10
    assert sorted(name for name in names if f"`{name}" not in manual) == []


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_relative_links_resolve(path: Path) -> None:
    """Files exist, and so do the headings that links name."""
    text = path.read_text(encoding="utf-8")
    for target in _LINK.findall(_prose(text)):
        if target.startswith(("https://", "http://", "mailto:")):
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        assert file.exists(), f"{_name(path)}: {target}"
        assert ROOT in (file, *file.parents), f"{_name(path)}: {target} is outside the repository"
        if anchor:
            assert anchor in _anchors(file.read_text(encoding="utf-8")), f"{_name(path)}: {target}"


@pytest.mark.parametrize(
    "path", [ROOT / "README.md", *MANUAL, ROOT / "docs" / "directory.md", ROOT / "docs" / "ledger.md"], ids=_name
)
def test_shown_commands_parse(path: Path) -> None:
    """Each `charter …` line is a command that exists, with options that exist."""
    for line in _shown(path):
        _parse(line)


@pytest.mark.parametrize(
    "line",
    ["charter chek DIR", "charter check --formt json", "charter why ada chat.text more", "charter apply --stage half"],
)
def test_a_wrong_command_does_not_parse(line: str) -> None:
    """The check above finds what it is there to find."""
    with pytest.raises((AssertionError, click.UsageError)):
        _parse(line)


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_pages_name_no_other_host(path: Path) -> None:
    """Where packages come from is the reader's configuration; pages name only what they explain."""
    hosts = set(_HOST.findall(path.read_text(encoding="utf-8")))
    assert {host for host in hosts - _HOSTS if not host.endswith(".example")} == set()


def test_pages_are_found_from_the_index() -> None:
    """Every page of docs/ is linked from docs/README.md or from the list of decisions."""
    lists = [ROOT / "docs" / "README.md", ROOT / "docs" / "adr" / "README.md"]
    linked = {
        (page.parent / target.partition("#")[0]).resolve()
        for page in lists
        for target in _LINK.findall(_prose(page.read_text(encoding="utf-8")))
    }
    pages = {page for page in PAGES if page.is_relative_to(ROOT / "docs")} - {lists[0]}
    assert sorted(_name(page) for page in pages - linked) == []
