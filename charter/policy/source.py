"""YAML text to a tree of nodes with positions; nothing is guessed and nothing is executed.

Scalars stay text as they stand (`no`, `12:30`, `0o7`, `2026-12-31`): the models decide what they mean.
Anchors, aliases, merge keys, tags, several documents and duplicate keys are refused, so that a file means
what it looks like and costs what it weighs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, NoReturn

import yaml
from yaml import events as ev
from yaml.reader import Reader

from charter.policy.codes import CODES
from charter.policy.diagnostics import Diagnostic, Span
from charter.policy.values import Plain

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_BYTES: Final = 8 * 2**20
MAX_DEPTH: Final = 24
_LINE_BREAK: Final = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})

Data = str | tuple["Data", ...] | dict[str, "Data"]
"""What the models are fed with."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value."""

    span: Span
    text: str
    plain: bool

    @property
    def data(self) -> Data:
        """The text, marked if it was unquoted."""
        return Plain(self.text) if self.plain else self.text


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    span: Span
    items: list[Node]

    @property
    def data(self) -> Data:
        """A tuple of the items' data."""
        return tuple(item.data for item in self.items)


@dataclass(frozen=True, slots=True)
class Mapping:
    """A mapping; `keys` holds the key's own node."""

    span: Span
    values: dict[str, Node] = field(default_factory=dict)
    keys: dict[str, Scalar] = field(default_factory=dict)

    @property
    def data(self) -> Data:
        """A dict of the values' data."""
        return {key: value.data for key, value in self.values.items()}


Node = Scalar | Sequence | Mapping


@dataclass(frozen=True, slots=True)
class Source:
    """One file's text, cut into lines as YAML counts them."""

    file: str
    lines: tuple[str, ...]

    @staticmethod
    def of(file: str, text: str) -> Source:
        """Cut a text into lines."""
        return Source(file, tuple(_LINE_BREAK.split(text)))

    def span(self, line: int, column: int, end_line: int, end_column: int) -> Span:
        """Return the span between two positions counted from 0, cut to the first line and to the text."""
        line = min(max(line, 0), len(self.lines) - 1)
        width = len(self.lines[line])
        column = min(max(column, 0), width)
        end = min(end_column, width) if end_line == line else len(self.lines[line].rstrip())
        return Span(self.file, line + 1, column + 1, max(end - column, 1))

    def diagnostic(
        self,
        code: str,
        span: Span,
        message: str,
        help_: str = "",
        *,
        related: tuple[tuple[Span, str], ...] = (),
    ) -> Diagnostic:
        """Return a finding at a span of this file."""
        text = self.lines[span.line - 1]
        return Diagnostic(
            code, CODES[code].severity, span.file, span.line, span.column, message, help_, text, span.length, related
        )


@dataclass(frozen=True, slots=True)
class Document:
    """What became of one file: `root` is None when there is nothing to use."""

    source: Source
    root: Mapping | None
    diagnostics: tuple[Diagnostic, ...]


class _StopError(Exception):
    """The rest of the file cannot be read; carries the finding."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.code)
        self.diagnostic = diagnostic


def read_source(file: str, data: bytes) -> Document:
    """Parse one file.

    Args:
        file: name for diagnostics, relative to the policy directory.
        data: its bytes.

    Returns:
        The tree and what is wrong with it. Never raises.
    """
    if len(data) > MAX_BYTES:
        source = Source.of(file, "")
        found = source.diagnostic(
            "too-large",
            Span(file, 1, 1),
            "the file is too large",
            f"a policy file has at most {MAX_BYTES // 2**20} MiB; split it",
        )
        return Document(source, None, (found,))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return _not_text(file, data, error.start)
    source = Source.of(file, text)
    bad = Reader.NON_PRINTABLE.search(text)
    if bad:
        span = _span_at(source, text, bad.start())
        found = source.diagnostic(
            "bad-character", span, f"the character U+{ord(bad[0]):04X} may not stand in a policy", "remove it"
        )
        return Document(source, None, (found,))
    builder = _Builder(source)
    try:
        root = builder.document(text)
    except _StopError as stop:
        return Document(source, None, (*builder.found, stop.diagnostic))
    except yaml.MarkedYAMLError as error:
        return Document(source, None, (*builder.found, _syntax(source, error)))
    return Document(source, root, tuple(builder.found))


def _not_text(file: str, data: bytes, position: int) -> Document:
    before = data[:position].decode("utf-8-sig", errors="replace")
    source = Source.of(file, data.decode("utf-8-sig", errors="replace"))
    line = _LINE_BREAK.split(before)
    span = source.span(len(line) - 1, len(line[-1]), len(line) - 1, len(line[-1]) + 1)
    found = source.diagnostic(
        "not-utf8", span, f"the byte 0x{data[position]:02X} is not UTF-8", "save the file as UTF-8"
    )
    return Document(source, None, (found,))


def _span_at(source: Source, text: str, position: int) -> Span:
    lines = _LINE_BREAK.split(text[:position])
    return source.span(len(lines) - 1, len(lines[-1]), len(lines) - 1, len(lines[-1]) + 1)


def _syntax(source: Source, error: yaml.MarkedYAMLError) -> Diagnostic:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    span = source.span(line, column, line, column + 1)
    problem = str(error.problem or error.context or "not YAML")
    help_ = ""
    related: tuple[tuple[Span, str], ...] = ()
    if "'\\t'" in problem:
        problem, help_ = "a tab cannot indent YAML", "use spaces"
    elif "mapping values are not allowed" in problem:
        help_ = "quote a value that contains `: `"
    elif "cannot start any token" in problem:
        help_ = "quote a value that begins with a special character"
    if error.context and error.context_mark and error.context_mark.line != line:
        start = error.context_mark
        place = source.span(start.line, start.column, start.line, start.column + 1)
        related = ((place, str(error.context)),)
    return source.diagnostic("yaml-syntax", span, problem, help_, related=related)


class _Builder:
    """Turns the parser's events into nodes, refusing what a policy must not contain."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.found: list[Diagnostic] = []

    def document(self, text: str) -> Mapping | None:
        events = yaml.parse(text, Loader=yaml.SafeLoader)
        root: Node | None = None
        documents = 0
        for event in events:
            if isinstance(event, ev.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._stop(
                        "several-documents",
                        event,
                        "a second document begins here",
                        "one file holds one document; remove `---`",
                    )
            elif isinstance(event, ev.NodeEvent):
                root = self._node(event, events, 0)
        if root is None or (isinstance(root, Scalar) and root.plain and root.text in _NULLS):
            self._report(
                "empty-file", self.source.span(0, 0, 0, 1), "the file says nothing", "write a key, or remove the file"
            )
            return None
        if not isinstance(root, Mapping):
            self._report("wrong-type", root.span, "a policy file is a mapping of keys", "begin with `version: 1`")
            return None
        return root

    def _node(self, event: ev.NodeEvent, events: Iterator[ev.Event], depth: int) -> Node:
        if isinstance(event, ev.AliasEvent):
            self._stop("yaml-alias", event, f"`*{event.anchor}` is an alias", "write the value out, or name a group")
        if event.anchor is not None:
            self._stop("yaml-alias", event, f"`&{event.anchor}` is an anchor", "write the value out, or name a group")
        if depth > MAX_DEPTH:
            self._stop("too-deep", event, "this is nested too deeply", f"a policy has at most {MAX_DEPTH} levels")
        tag = getattr(event, "tag", None)
        if tag is not None:
            self._stop("yaml-tag", event, f"`{tag}` is a tag", "remove it: values are read as they stand")
        if isinstance(event, ev.ScalarEvent):
            return Scalar(self._span(event), event.value, event.style is None)
        if isinstance(event, ev.SequenceStartEvent):
            return self._sequence(event, events, depth)
        return self._mapping(event, events, depth)

    def _sequence(self, start: ev.NodeEvent, events: Iterator[ev.Event], depth: int) -> Sequence:
        items: list[Node] = []
        for event in events:
            if isinstance(event, ev.SequenceEndEvent):
                return Sequence(self._span(start, event), items)
            assert isinstance(event, ev.NodeEvent)
            item = self._node(event, events, depth + 1)
            if self._has_value(item, "an item of this list"):
                items.append(item)
        raise AssertionError(start)  # pragma: no cover - the parser ends what it begins

    def _mapping(self, start: ev.NodeEvent, events: Iterator[ev.Event], depth: int) -> Mapping:
        values: dict[str, Node] = {}
        keys: dict[str, Scalar] = {}
        for event in events:
            if isinstance(event, ev.MappingEndEvent):
                return Mapping(self._span(start, event), values, keys)
            assert isinstance(event, ev.NodeEvent)
            key = self._node(event, events, depth + 1)
            value_event = next(events)
            assert isinstance(value_event, ev.NodeEvent)
            value = self._node(value_event, events, depth + 1)
            if self._good_key(key, keys) and isinstance(key, Scalar):
                keys[key.text] = key
                if self._has_value(value, f"`{key.text}`", key):
                    values[key.text] = value
        raise AssertionError(start)  # pragma: no cover - the parser ends what it begins

    def _good_key(self, key: Node, keys: dict[str, Scalar]) -> bool:
        if not isinstance(key, Scalar) or not key.text or "\n" in key.text:
            self._report("bad-key", key.span, "a key is one word", "write `key: value`")
            return False
        if key.text == "<<" and key.plain:
            self._report("yaml-alias", key.span, "`<<` is a merge key", "write the keys out")
            return False
        first = keys.get(key.text)
        if first:
            place = ((first.span, "first here"),)
            self._report(
                "duplicate-key",
                key.span,
                f"`{key.text}` stands here a second time",
                f"first on line {first.span.line}",
                place,
            )
            return False
        return True

    def _has_value(self, value: Node, what: str, key: Scalar | None = None) -> bool:
        if isinstance(value, Scalar) and value.plain and value.text in _NULLS:
            span = key.span if key and not value.text else value.span
            self._report(
                "empty-value", span, f"{what} has no value", "write a value, `[]` for an empty list, or remove it"
            )
            return False
        return True

    def _span(self, event: ev.Event, last: ev.Event | None = None) -> Span:
        start, end = event.start_mark, (last or event).end_mark
        assert start is not None
        assert end is not None
        return self.source.span(start.line, start.column, end.line, end.column)

    def _report(
        self, code: str, span: Span, message: str, help_: str, related: tuple[tuple[Span, str], ...] = ()
    ) -> None:
        self.found.append(self.source.diagnostic(code, span, message, help_, related=related))

    def _stop(self, code: str, event: ev.Event, message: str, help_: str) -> NoReturn:
        """Give up on the file, pointing at the word that begins here."""
        span = self._span(event)
        rest = self.source.lines[span.line - 1][span.column - 1 :]
        word = re.match(r"[&*!]\S+", rest)
        length = min(span.length, len(word[0])) if word else span.length
        raise _StopError(self.source.diagnostic(code, replace(span, length=length), message, help_))
