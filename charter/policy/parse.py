"""A policy directory to a :class:`PolicySet`, or to everything that is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from charter.policy.checks import Context, check
from charter.policy.diagnostics import Diagnostic, has_errors, ordered
from charter.policy.merge import Merged, merge
from charter.policy.model import Policy
from charter.policy.policy_set import PolicySet, SourcePlace
from charter.policy.source import Mapping, Scalar, Sequence, read_source
from charter.policy.translate import translate

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator
    from pathlib import Path

    from charter.directory import DirectorySnapshot
    from charter.policy.diagnostics import Span
    from charter.policy.shape import Path as NodePath

RULE_LISTS: Final[tuple[NodePath, ...]] = (
    ("grants",),
    ("limits",),
    ("barriers",),
    ("sessions",),
    ("memberships",),
    ("federation", "servers"),
    ("relays",),
    ("services",),
    ("gateway", "networks"),
    ("gateway", "grants"),
    ("gateway", "dlp"),
)
"""The lists whose items have an id; ids are unique over all of them and the groups."""

MAX_FILES: Final = 1000


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What loading a directory gave.

    Attributes:
        policy_set: the checked policy; None as soon as one diagnostic is an error.
        diagnostics: everything found, sorted by place.
    """

    policy_set: PolicySet | None
    diagnostics: tuple[Diagnostic, ...]


def load(
    directory: Path, *, now: dt.datetime | None = None, snapshot: DirectorySnapshot | None = None
) -> LoadResult:
    """Read and check every `*.yaml` and `*.yml` below a directory, except `*.test.yaml`.

    Args:
        directory: the policy directory.
        now: aware time for the checks that depend on it (`until` in the past); left out, they are left out.
        snapshot: a directory for the checks that depend on it (empty groups); the same.

    Returns:
        The policy or the findings; never raises for what the files contain.
    """
    return load_files(read_directory(directory), now=now, snapshot=snapshot)


def read_directory(directory: Path) -> dict[str, bytes | str]:
    """Return relative path -> bytes of each policy file, or words saying why it cannot be read; sorted."""
    files: dict[str, bytes | str] = {}
    for path in sorted(directory.rglob("*")):
        if path.suffix not in (".yaml", ".yml") or path.name.endswith((".test.yaml", ".test.yml")):
            continue
        if any(part.startswith(".") for part in path.relative_to(directory).parts) or path.is_dir():
            continue
        name = path.relative_to(directory).as_posix()
        try:
            files[name] = path.read_bytes()
        except OSError as error:
            files[name] = error.strerror or type(error).__name__
    return files


def load_files(
    files: dict[str, bytes | str], *, now: dt.datetime | None = None, snapshot: DirectorySnapshot | None = None
) -> LoadResult:
    """Check files already read: name -> bytes, or words saying why there are none."""
    if not files:
        found = Diagnostic("no-policy", "error", ".", 1, 1, "there is no policy file here", "write one that ends in `.yaml`")
        return LoadResult(None, (found,))
    if len(files) > MAX_FILES:
        found = Diagnostic("too-large", "error", next(iter(files)), 1, 1, f"there are {len(files)} files", f"a policy has at most {MAX_FILES} files")
        return LoadResult(None, (found,))
    unreadable = [
        Diagnostic("unreadable-file", "error", name, 1, 1, f"the file cannot be read: {data}", "")
        for name, data in files.items()
        if isinstance(data, str)
    ]
    merged = merge(read_source(name, data) for name, data in files.items() if isinstance(data, bytes))
    found_all = [*unreadable, *merged.diagnostics]
    readable = not unreadable and not has_errors(tuple(merged.diagnostics))
    policy: Policy | None = None
    places: dict[str, SourcePlace] = {}
    if merged.root is not None:
        places, doubled = _places(merged)
        found_all += doubled
        policy, errors = _validate(merged, complete=readable)
        found_all += errors
        if policy is not None and readable:
            found_all += check(Context(merged, policy, now, snapshot))
    diagnostics = ordered(found_all)
    if policy is None or has_errors(diagnostics):
        return LoadResult(None, diagnostics)
    return LoadResult(PolicySet.of(policy, places), diagnostics)


def _validate(merged: Merged, *, complete: bool) -> tuple[Policy | None, list[Diagnostic]]:
    assert merged.root is not None
    try:
        return Policy.model_validate(merged.root.data, by_alias=True, by_name=False), []
    except ValidationError as error:
        found = translate(merged, error)
        return None, found if complete else [one for one in found if one.code != "missing-key"]


def identified(merged: Merged) -> Iterator[tuple[str, str, Span, NodePath]]:
    """Yield kind of thing, id, place and path of everything that has an id, in order of the document."""
    groups = merged.node(("groups",))
    if isinstance(groups, Mapping):
        for name, key in groups.keys.items():
            yield "group", name, key.span, ("groups", name)
    for path in RULE_LISTS:
        items = merged.node(path)
        for index, item in enumerate(items.items if isinstance(items, Sequence) else ()):
            name_node = item.values.get("id") if isinstance(item, Mapping) else None
            if isinstance(name_node, Scalar):
                yield "rule", name_node.text, name_node.span, (*path, index)


def _places(merged: Merged) -> tuple[dict[str, SourcePlace], list[Diagnostic]]:
    places: dict[str, SourcePlace] = {}
    seen: dict[str, Span] = {}
    found: list[Diagnostic] = []
    for kind, name, span, _ in identified(merged):
        if name in seen:
            first = seen[name]
            help_ = f"first at {first}; ids are unique over all groups, rules and networks"
            found.append(merged.diagnostic("duplicate-id", span, f"the id `{name}` is used twice", help_, related=((first, "first here"),)))
            continue
        seen[name] = span
        places[f"group:{name}" if kind == "group" else name] = SourcePlace(span.file, span.line)
    return places, found
