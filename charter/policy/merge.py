"""Several files as one document: lists are joined, mappings merged, nothing is overridden."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from charter.policy.source import Document, Mapping, Node, Scalar, Sequence, Source
from charter.policy.values import show

if TYPE_CHECKING:
    from collections.abc import Iterable

    from charter.policy.diagnostics import Diagnostic, Span
    from charter.policy.shape import Path


@dataclass(frozen=True, slots=True)
class Merged:
    """A whole policy directory.

    Attributes:
        root: the merged tree, or None if there is nothing to judge.
        sources: file -> its lines.
        diagnostics: what reading and merging found.
    """

    root: Mapping | None
    sources: dict[str, Source]
    diagnostics: list[Diagnostic] = field(default_factory=list)

    def diagnostic(
        self,
        code: str,
        span: Span,
        message: str,
        help_: str = "",
        *,
        related: tuple[tuple[Span, str], ...] = (),
    ) -> Diagnostic:
        """Return a finding at a span of any of the files."""
        return self.sources[span.file].diagnostic(code, span, message, help_, related=related)

    def node(self, path: Path) -> Node | None:
        """Return the node at a path, or None."""
        current: Node | None = self.root
        for step in path:
            if isinstance(current, Mapping):
                current = current.values.get(str(step))
            elif isinstance(current, Sequence) and isinstance(step, int) and step < len(current.items):
                current = current.items[step]
            else:
                return None
        return current

    def span(self, path: Path) -> Span:
        """Return where the value at a path stands, or its nearest ancestor that stands anywhere."""
        for end in range(len(path), -1, -1):
            node = self.node(path[:end])
            if node is not None:
                return node.span
        return next(iter(self.sources.values())).span(0, 0, 0, 1)

    def key_span(self, path: Path) -> Span:
        """Return where the key that ends a path stands; for an item of a list, the item."""
        parent = self.node(path[:-1])
        key = parent.keys.get(str(path[-1])) if isinstance(parent, Mapping) else None
        return key.span if key else self.span(path)


def merge(documents: Iterable[Document]) -> Merged:
    """Merge files in the order given."""
    merged = Merged(None, {}, [])
    root: Mapping | None = None
    for document in documents:
        merged.sources[document.source.file] = document.source
        merged.diagnostics.extend(document.diagnostics)
        if document.root is None:
            continue
        if root is None:
            root = Mapping(document.root.span)
        _merge_mapping(root, document.root, (), merged)
    return Merged(root, merged.sources, merged.diagnostics)


def _merge_mapping(into: Mapping, more: Mapping, path: Path, merged: Merged) -> None:
    for name, value in more.values.items():
        if name not in into.values:
            into.keys[name] = more.keys[name]
            into.values[name] = _copy(value)
        else:
            _merge_value(into, more, (*path, name), merged)


def _merge_value(into: Mapping, more: Mapping, path: Path, merged: Merged) -> None:
    name = str(path[-1])
    there, value = into.values[name], more.values[name]
    if path[0] == "groups" and len(path) > 1:
        _report_twice(
            "duplicate-id", f"the group {show(name)} is defined twice", into.keys[name], more.keys[name], merged
        )
    elif isinstance(there, Mapping) and isinstance(value, Mapping):
        _merge_mapping(there, value, path, merged)
    elif isinstance(there, Sequence) and isinstance(value, Sequence):
        there.items.extend(value.items)
    elif (
        path != ("version",)
        or not isinstance(there, Scalar)
        or not isinstance(value, Scalar)
        or there.text != value.text
    ):
        dotted = show(".".join(map(str, path)))
        _report_twice("defined-twice", f"{dotted} is defined in two files", into.keys[name], more.keys[name], merged)


def _report_twice(code: str, message: str, first: Scalar, second: Scalar, merged: Merged) -> None:
    help_ = "keep one of them" if code == "defined-twice" else "give one of them another id"
    found = merged.diagnostic(code, second.span, message, help_, related=((first.span, "first here"),))
    merged.diagnostics.append(found)


def _copy(node: Node) -> Node:
    """Copy the containers that merging changes: files' own trees stay as they were read."""
    if isinstance(node, Mapping):
        return Mapping(node.span, {name: _copy(value) for name, value in node.values.items()}, dict(node.keys))
    if isinstance(node, Sequence):
        return Sequence(node.span, list(node.items))
    return node


def prune(merged: Merged, paths: Iterable[Path]) -> Merged:
    """Return the document without the smallest parts that contain the paths: an item of a list, a group, a key.

    The tree given stays as it is; indices of the new one are its own.
    """
    assert merged.root is not None
    root = _copy_all(merged.root)
    items: dict[int, tuple[Sequence, set[int]]] = {}
    for path in paths:
        parent: Node = root
        for depth, step in enumerate(path):
            if isinstance(parent, Sequence) and isinstance(step, int):
                items.setdefault(id(parent), (parent, set()))[1].add(step)
                break
            if not isinstance(parent, Mapping):
                break
            child = parent.values.get(str(step))
            group = depth == 1 and path[0] == "groups"
            if group or child is None or not isinstance(child, Mapping | Sequence) or depth == len(path) - 1:
                parent.values.pop(str(step), None)
                break
            parent = child
    for sequence, gone in items.values():
        sequence.items[:] = [item for index, item in enumerate(sequence.items) if index not in gone]
    return Merged(root, merged.sources)


def trim(merged: Merged, paths: Iterable[Path]) -> Merged:
    """Return the document without the very nodes that the paths name; of a path that ends nowhere, its last node.

    The tree given stays as it is; indices of the new one are its own.
    """
    assert merged.root is not None
    root = _copy_deep(merged.root)
    assert isinstance(root, Mapping)
    gone: dict[int, tuple[Node, set[str | int]]] = {}
    for path in paths:
        node: Node = root
        last: tuple[Node, str | int] | None = None
        for step in path:
            child = _child(node, step)
            if child is None:
                break
            last, node = (node, step), child
        if last is not None:
            gone.setdefault(id(last[0]), (last[0], set()))[1].add(last[1])
    for parent, steps in gone.values():
        if isinstance(parent, Mapping):
            for step in steps:
                parent.values.pop(str(step))
        elif isinstance(parent, Sequence):
            parent.items[:] = [item for index, item in enumerate(parent.items) if index not in steps]
    return Merged(root, merged.sources)


def _child(node: Node, step: str | int) -> Node | None:
    if isinstance(node, Mapping):
        return node.values.get(str(step))
    if isinstance(node, Sequence) and isinstance(step, int) and 0 <= step < len(node.items):
        return node.items[step]
    return None


def _copy_deep(node: Node) -> Node:
    if isinstance(node, Mapping):
        values = {name: _copy_deep(value) for name, value in node.values.items()}
        return Mapping(node.span, values, dict(node.keys))
    return Sequence(node.span, [_copy_deep(item) for item in node.items]) if isinstance(node, Sequence) else node


def _copy_all(node: Mapping) -> Mapping:
    copied = _copy(node)
    assert isinstance(copied, Mapping)
    return copied
