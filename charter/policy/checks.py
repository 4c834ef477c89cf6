"""What a well-formed policy can still get wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datetime as dt

    from charter.directory import DirectorySnapshot
    from charter.policy.diagnostics import Diagnostic
    from charter.policy.merge import Merged
    from charter.policy.model import Policy


@dataclass(frozen=True, slots=True)
class Context:
    """What the checks look at."""

    merged: Merged
    policy: Policy
    now: dt.datetime | None = None
    snapshot: DirectorySnapshot | None = None


def check(context: Context) -> list[Diagnostic]:
    """Return what is wrong or doubtful."""
    del context
    return []
