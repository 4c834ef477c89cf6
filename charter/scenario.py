"""Scenarios beside a policy (`*.test.yaml`): who asks for what, and what must be decided.

```yaml
directory: directory.ldif         # people, relative to this file; LDIF or a snapshot's JSON
at: 2026-11-23T10:00+01:00        # when the cases happen; default: now
cases:
  - {name: traders call, user: ada, feature: call.voice, room: direct, expect: allow, rules: [traders-call]}
```
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast, get_args

from charter.directory import DirectorySnapshot
from charter.errors import CharterError
from charter.judge import compile_policy
from charter.ldif import LdifError, read_ldif
from charter.policy.model import RoomKind
from charter.policy.source import Mapping, Scalar, Sequence, read_source
from charter.policy.translate import did_you_mean
from charter.policy.values import parse_until
from charter.why import Question, QuestionError, explain

if TYPE_CHECKING:
    from pathlib import Path

    from charter.compiled import Compiled
    from charter.policy.diagnostics import Diagnostic, Span
    from charter.policy.policy_set import PolicySet
    from charter.policy.source import Document, Node

_TEXTS: Final = ("name", "user", "feature", "at", "room", "server", "with", "network", "destination", "expect")
_LISTS: Final = ("rules", "would_have")
_REQUIRED: Final = ("user", "feature", "expect")
_CHOICES: Final = {"room": get_args(RoomKind), "expect": ("allow", "deny")}


@dataclass(frozen=True, slots=True)
class Case:
    """One scenario.

    Attributes:
        name: what it shows.
        question: what is asked.
        at: POSIX seconds, or None for now.
        expect: ``allow`` or ``deny``.
        rules: the deciding rules, sorted, or None if not compared.
        would_have: the shadow rules that differ, sorted, or None if not compared.
        span: where it stands.
    """

    name: str
    question: Question
    at: float | None
    expect: str
    rules: tuple[str, ...] | None
    would_have: tuple[str, ...] | None
    span: Span


@dataclass(frozen=True, slots=True)
class Suite:
    """One file of scenarios.

    Attributes:
        file: relative to the policy directory.
        snapshot: its people.
        cases: what could be read of it.
        diagnostics: what could not.
    """

    file: str
    snapshot: DirectorySnapshot
    cases: tuple[Case, ...]
    diagnostics: tuple[Diagnostic, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one case; `expected` and `actual` hold the same keys."""

    file: str
    name: str
    ok: bool
    expected: dict[str, Any]
    actual: dict[str, Any]
    line: int

    def to_json(self) -> dict[str, Any]:
        """Return the contract of ``charter test --json``."""
        return {"file": self.file, "name": self.name, "ok": self.ok, "expected": self.expected, "actual": self.actual}


def read_snapshot(path: Path, server_name: str, now: float) -> DirectorySnapshot:
    """Return the people of an LDIF file, or of a snapshot's JSON.

    Raises:
        CharterError: the file cannot be read.
    """
    try:
        data = path.read_bytes()
        if data.lstrip()[:1] == b"{":
            return DirectorySnapshot.from_json(data)
        return read_ldif(data.decode("utf-8-sig"), server_name, now)
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise CharterError(msg) from error
    except (ValueError, LdifError) as error:
        msg = f"{path} is neither LDIF nor a snapshot: {error}"
        raise CharterError(msg) from error


def test_files(directory: Path) -> list[Path]:
    """Return the scenario files below a policy directory, sorted."""
    found = [path for path in directory.rglob("*.test.y*ml") if path.name.endswith((".test.yaml", ".test.yml"))]
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(directory).parts))


test_files.__test__ = False  # type: ignore[attr-defined] # keeps pytest from taking it for a test


def read_suite(path: Path, directory: Path, server_name: str, now: float) -> Suite:
    """Read one file of scenarios; never raises for what it contains."""
    name = path.relative_to(directory).as_posix()
    try:
        document = read_source(name, path.read_bytes())
    except OSError as error:
        document = read_source(name, b"")
        found = document.source.diagnostic(
            "unreadable-file", document.source.span(0, 0, 0, 1), f"the file cannot be read: {error.strerror}"
        )
        return Suite(name, DirectorySnapshot({}, now), (), (found,))
    reader = _Reader(document)
    snapshot, at = DirectorySnapshot({}, now), None
    if document.root is not None:
        snapshot = reader.snapshot(document.root, path.parent, server_name, now)
        at = reader.moment(document.root.values.get("at"))
        reader.keys(document.root, ("directory", "at", "cases"), "a file of scenarios", ("cases",))
    return Suite(name, snapshot, tuple(reader.cases(at)), (*document.diagnostics, *reader.found))


def run_suite(policy_set: PolicySet, suite: Suite, now: float) -> list[Outcome]:
    """Judge every case of a suite."""
    compiled = compile_policy(policy_set, suite.snapshot)
    return [_run(compiled, suite.file, case, now) for case in suite.cases]


def _run(compiled: Compiled, file: str, case: Case, now: float) -> Outcome:
    expected: dict[str, Any] = {"decision": case.expect}
    if case.rules is not None:
        expected["rules"] = list(case.rules)
    if case.would_have is not None:
        expected["would_have"] = list(case.would_have)
    actual: dict[str, Any]
    try:
        explanation = explain(compiled, case.question, now if case.at is None else case.at)
    except QuestionError as error:
        actual = {"error": str(error)}
    else:
        actual = explanation.to_json()
    same = all(actual.get(key) == value for key, value in expected.items())
    return Outcome(file, case.name, same, expected, actual, case.span.line)


class _Reader:
    """Turns the tree of a file into cases, collecting what is wrong with it."""

    def __init__(self, document: Document) -> None:
        self._source = document.source
        self._root = document.root
        self.found: list[Diagnostic] = []

    def snapshot(self, root: Mapping, base: Path, server_name: str, now: float) -> DirectorySnapshot:
        node = root.values.get("directory")
        text = self._text(node, "directory")
        if text is None or node is None:
            return DirectorySnapshot({}, now)
        try:
            return read_snapshot(base / text, server_name, now)
        except CharterError as error:
            self._report("unreadable-file", node.span, error.message, "a path relative to this file")
            return DirectorySnapshot({}, now)

    def cases(self, at: float | None) -> list[Case]:
        node = self._root.values.get("cases") if self._root else None
        if node is None:
            return []
        if not isinstance(node, Sequence):
            self._report("wrong-type", node.span, "`cases` is a list")
            return []
        return [case for item in node.items if (case := self._case(item, at)) is not None]

    def _case(self, node: Node, at: float | None) -> Case | None:
        before = len(self.found)
        if not isinstance(node, Mapping):
            self._report("wrong-type", node.span, "a case is a mapping of keys")
            return None
        self.keys(node, (*_TEXTS, *_LISTS), "a case", _REQUIRED)
        texts = {key: self._text(node.values.get(key), key) for key in _TEXTS}
        lists = {key: self._names(node.values.get(key), key) for key in _LISTS}
        for key, choices in _CHOICES.items():
            value = texts[key]
            if value is not None and value not in choices:
                help_ = did_you_mean(value, choices, "write " + ", ".join(choices))
                self._report("bad-value", node.values[key].span, f"`{value}` is not a value of `{key}`", help_)
        moment = self.moment(node.values.get("at"))
        if len(self.found) > before:
            return None
        user, feature = texts["user"] or "", texts["feature"] or ""
        room = cast("RoomKind | None", texts["room"])  # checked above
        outside = (texts["server"], texts["with"], texts["network"], texts["destination"])
        question = Question(user, feature, room, *outside)
        name = texts["name"] or f"{user} {feature}"
        return Case(
            name,
            question,
            at if moment is None else moment,
            texts["expect"] or "",
            lists["rules"],
            lists["would_have"],
            node.span,
        )

    def keys(self, node: Mapping, known: tuple[str, ...], noun: str, required: tuple[str, ...]) -> None:
        for key, scalar in node.keys.items():
            if key not in known:
                help_ = did_you_mean(key, known, "its keys are " + ", ".join(known))
                self._report("unknown-key", scalar.span, f"`{key}` is not a key of {noun}", help_)
        for key in required:
            if key not in node.keys:
                self._report("missing-key", node.span, f"{noun} needs `{key}`")

    def moment(self, node: Node | None) -> float | None:
        text = self._text(node, "at")
        if text is None or node is None:
            return None
        try:
            parsed = parse_until(text)
        except ValueError as error:
            self._report("bad-value", node.span, str(error))
            return None
        if isinstance(parsed, dt.datetime):
            return parsed.timestamp()
        self._report("bad-value", node.span, f"`{text}` says no time", f"write `{text}T10:00+01:00`")
        return None

    def _text(self, node: Node | None, key: str) -> str | None:
        if node is None or isinstance(node, Scalar):
            return None if node is None else node.text
        self._report("wrong-type", node.span, f"`{key}` is a single value")
        return None

    def _names(self, node: Node | None, key: str) -> tuple[str, ...] | None:
        if node is None:
            return None
        if not isinstance(node, Sequence) or not all(isinstance(item, Scalar) for item in node.items):
            self._report("wrong-type", node.span, f"`{key}` is a list of rule ids")
            return None
        return tuple(sorted(item.text for item in node.items if isinstance(item, Scalar)))

    def _report(self, code: str, span: Span, message: str, help_: str = "") -> None:
        self.found.append(self._source.diagnostic(code, span, message, help_))
