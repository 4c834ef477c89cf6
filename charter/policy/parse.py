"""A policy directory to a :class:`PolicySet`, or to everything that is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from charter.policy.checks import BUT_NAMES, CHECKS, Defined, Surroundings, check, check_names
from charter.policy.diagnostics import Diagnostic, has_errors, ordered
from charter.policy.merge import Merged, merge, prune, trim
from charter.policy.model import Policy
from charter.policy.policy_set import PolicySet, SourcePlace
from charter.policy.source import MAX_BYTES, Mapping, Scalar, Sequence, read_source
from charter.policy.translate import translate
from charter.policy.values import show

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterator
    from collections.abc import Sequence as Listed
    from pathlib import Path

    from charter.directory import DirectorySnapshot
    from charter.policy.checks import Check
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

_ROUNDS: Final = 4
"""How often what is left of a policy with errors is tried: a wrong item, then its list, then its rule."""


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What loading a directory gave.

    Attributes:
        policy_set: the checked policy; None as soon as one diagnostic is an error.
        diagnostics: everything found, sorted by place.
    """

    policy_set: PolicySet | None
    diagnostics: tuple[Diagnostic, ...]


def load(directory: Path, *, now: dt.datetime | None = None, snapshot: DirectorySnapshot | None = None) -> LoadResult:
    """Read and check every `*.yaml` and `*.yml` below a directory, except `*.test.yaml`.

    Args:
        directory: the policy directory.
        now: aware time for the checks that depend on it (`until` in the past); left out, they are left out.
        snapshot: a directory for the checks that depend on it (empty groups); the same.

    Returns:
        The policy or the findings; never raises for what the files contain.
    """

    def has_file(name: str) -> bool:
        return (directory / name).is_file()

    return load_files(read_directory(directory), Surroundings(now, snapshot, has_file))


def read_directory(directory: Path) -> dict[str, bytes | str]:
    """Return relative path -> bytes of each policy file, or words saying why it cannot be read; sorted."""
    files: dict[str, bytes | str] = {}
    for path in sorted(directory.rglob("*")):
        inside = path.relative_to(directory)
        if path.suffix not in (".yaml", ".yml") or path.name.endswith((".test.yaml", ".test.yml")):
            continue
        if any(part.startswith(".") for part in inside.parts) or path.is_dir():
            continue
        files[inside.as_posix().encode(errors="replace").decode()] = _read(path)
    return files


def _read(path: Path) -> bytes | str:
    """Return a file's bytes, at most one more than a policy file may have, or why there are none."""
    try:
        if path.exists() and not path.is_file():
            return "it is no ordinary file"
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        return error.strerror or type(error).__name__


def load_files(files: dict[str, bytes | str], around: Surroundings | None = None) -> LoadResult:
    """Check files already read.

    Args:
        files: relative path -> bytes, or words saying why the file cannot be read.
        around: what is known besides the files.
    """
    if not files:
        return _refused(
            Diagnostic(
                "no-policy", "error", ".", 1, 1, "there is no policy file here", "write one that ends in `.yaml`"
            )
        )
    if len(files) > MAX_FILES:
        message = f"there are {len(files)} policy files"
        return _refused(
            Diagnostic("too-large", "error", min(files), 1, 1, message, f"a policy has at most {MAX_FILES} files")
        )
    unreadable = [
        Diagnostic("unreadable-file", "error", name, 1, 1, f"the file cannot be read: {data}")
        for name, data in files.items()
        if isinstance(data, str)
    ]
    merged = merge(read_source(name, data) for name, data in files.items() if isinstance(data, bytes))
    found = [*unreadable, *merged.diagnostics]
    if merged.root is None:
        return LoadResult(None, ordered(found))
    complete = not has_errors(tuple(found))
    places, doubled = _places(merged)
    policy, readings, errors = _validate(merged, complete=complete)
    found += doubled + errors
    if complete:
        defined = Defined(frozenset(_ids(merged, "group")), tuple(_ids(merged, "network")))
        for reading in readings:
            found += check(reading.tree, reading.policy, around or Surroundings(), defined, reading.checks)
    diagnostics = ordered(found)
    if policy is None or has_errors(diagnostics):
        return LoadResult(None, diagnostics)
    return LoadResult(PolicySet.of(policy, places), diagnostics)


def _refused(found: Diagnostic) -> LoadResult:
    return LoadResult(None, (found,))


@dataclass(frozen=True, slots=True)
class _Reading:
    """A policy, the tree that it was made from, and the checks that make sense of it."""

    tree: Merged
    policy: Policy
    checks: Listed[Check] = CHECKS


def _validate(merged: Merged, *, complete: bool) -> tuple[Policy | None, list[_Reading], list[Diagnostic]]:
    """Return the policy, what to check, and the errors.

    With errors there is a policy without the rules and groups that have them, for what a rule means beside
    others, and one without only the wrong words, for the names in the rest of such a rule; neither is there
    where nothing sensible remains.
    """
    try:
        policy = _model(merged)
    except ValidationError as error:
        found = translate(merged, error)
        paths = _paths(error)
    else:
        return policy, [_Reading(merged, policy)], []
    if not complete:
        found = [one for one in found if one.code != "missing-key"]
    readings = [_read_without(merged, paths, prune, BUT_NAMES), _read_without(merged, paths, trim, (check_names,))]
    known = [reading for reading in readings if reading is not None]
    return (known[0].policy if known else None), known, found


def _read_without(
    merged: Merged, paths: list[NodePath], without: Callable[[Merged, list[NodePath]], Merged], checks: Listed[Check]
) -> _Reading | None:
    """Return what remains without the errors at these paths, and without those that this brings about."""
    for _ in range(_ROUNDS):
        merged = without(merged, paths)
        try:
            return _Reading(merged, _model(merged), checks)
        except ValidationError as error:
            paths = _paths(error)
    return None


def _paths(error: ValidationError) -> list[NodePath]:
    return [detail["loc"] for detail in error.errors(include_url=False, include_input=False)]


def _model(merged: Merged) -> Policy:
    assert merged.root is not None
    return Policy.model_validate(merged.root.data, by_alias=True, by_name=False)


def _ids(merged: Merged, kind: str) -> list[str]:
    return [name for found, name, _ in identified(merged) if found == kind]


def identified(merged: Merged) -> Iterator[tuple[str, str, Span]]:
    """Yield kind (group, network or rule), id and place of everything that has an id."""
    groups = merged.node(("groups",))
    if isinstance(groups, Mapping):
        for name, key in groups.keys.items():
            yield "group", name, key.span
    for path in RULE_LISTS:
        items = merged.node(path)
        kind = "network" if path[-1] == "networks" else "rule"
        for item in items.items if isinstance(items, Sequence) else ():
            name_node = item.values.get("id") if isinstance(item, Mapping) else None
            if isinstance(name_node, Scalar):
                yield kind, name_node.text, name_node.span


def _places(merged: Merged) -> tuple[dict[str, SourcePlace], list[Diagnostic]]:
    places: dict[str, SourcePlace] = {}
    seen: dict[str, Span] = {}
    found: list[Diagnostic] = []
    for kind, name, span in identified(merged):
        if name in seen:
            first = seen[name]
            help_ = "ids are unique over all groups, rules and networks"
            related = ((first, "first here"),)
            found.append(
                merged.diagnostic("duplicate-id", span, f"the id {show(name)} is used twice", help_, related=related)
            )
            continue
        seen[name] = span
        places[f"group:{name}" if kind == "group" else name] = SourcePlace(span.file, span.line)
    return places, found
