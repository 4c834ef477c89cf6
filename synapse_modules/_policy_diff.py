"""What changes between two policies, rule by rule: for the `policy` record and for whoever applies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from charter.policy.model import Policy

DIFF_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class PolicyDiff:
    """Names of what was added, removed and changed, sorted.

    Rules go by their id, groups as ``group:<id>``, networks as ``network:<id>``, single settings by their path, e.g. ``journal.on_failure``.

    Attributes:
        entries: name -> what it was and what it is, each None where it was not.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    entries: Mapping[str, tuple[Any, Any]]

    def names(self) -> dict[str, list[str]]:
        """Return the three lists for JSON."""
        return {"added": list(self.added), "removed": list(self.removed), "changed": list(self.changed)}

    def body(self) -> dict[str, Any]:
        """Return the lists and the diff; above 64 KiB without the diff, which the stored bundles still give."""
        diff = {name: {"before": before, "after": after} for name, (before, after) in self.entries.items()}
        if len(orjson.dumps(diff)) > DIFF_BYTES:
            return {**self.names(), "diff": None}
        return {**self.names(), "diff": diff}


def diff(before: Policy | None, after: Policy) -> PolicyDiff:
    """Compare two policies; None is the policy before the first."""
    old = {} if before is None else dict(_entries(_dump(before)))
    new = dict(_entries(_dump(after)))
    changed = sorted(name for name in old.keys() & new.keys() if old[name] != new[name])
    added, removed = sorted(new.keys() - old.keys()), sorted(old.keys() - new.keys())
    entries = {name: (old.get(name), new.get(name)) for name in (*added, *removed, *changed)}
    return PolicyDiff(tuple(added), tuple(removed), tuple(changed), entries)


def _dump(policy: Policy) -> dict[str, Any]:
    return policy.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def _entries(document: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in document.items():
        where = f"{path}{key}"
        if where == "groups":
            yield from ((f"group:{name}", group) for name, group in value.items())
        elif isinstance(value, list) and value and all(isinstance(one, dict) and "id" in one for one in value):
            prefix = "network:" if where == "gateway.networks" else ""
            yield from ((f"{prefix}{one['id']}", one) for one in value)
        elif isinstance(value, dict):
            yield from _entries(value, f"{where}.")
        else:
            yield where, value
