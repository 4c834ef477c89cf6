"""What every check looks at and how it reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from charter.policy.checks.audience import Audience
from charter.policy.values import end_of

if TYPE_CHECKING:
    import datetime as dt
    import zoneinfo
    from collections.abc import Callable, Iterator, Sequence

    from charter.directory import DirectorySnapshot
    from charter.policy import model as m
    from charter.policy.diagnostics import Diagnostic
    from charter.policy.merge import Merged
    from charter.policy.shape import Path

RULES: Final[tuple[Path, ...]] = (
    ("grants",),
    ("limits",),
    ("barriers",),
    ("sessions",),
    ("memberships",),
    ("federation", "servers"),
    ("relays",),
    ("services",),
    ("gateway", "grants"),
    ("gateway", "dlp"),
)
"""Where the rules of a policy stand."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is known besides the policy's text; what is None is not checked.

    Attributes:
        now: aware time, for what has expired.
        snapshot: the directory, for groups without members and people on both sides of a wall.
        has_file: whether a path relative to the policy directory is a file.
    """

    now: dt.datetime | None = None
    snapshot: DirectorySnapshot | None = None
    has_file: Callable[[str], bool] | None = None


@dataclass(slots=True)
class Context:
    """One policy under check; checks append to `found`."""

    merged: Merged
    policy: m.Policy
    around: Surroundings
    zone: zoneinfo.ZoneInfo
    groups: frozenset[str]
    networks: tuple[str, ...]
    found: list[Diagnostic] = field(default_factory=list)
    audience: Audience = field(init=False)

    def __post_init__(self) -> None:
        self.audience = Audience(self.policy, self.around.snapshot)

    def report(self, code: str, path: Path, message: str, help_: str = "", *related: tuple[Path, str]) -> None:
        """Add a finding at the value of a path."""
        places = tuple((self.merged.span(there), words) for there, words in related)
        span = self.merged.span(path)
        self.found.append(self.merged.diagnostic(code, span, message, help_, related=places))

    def rules(self) -> Iterator[tuple[Path, m.Rule]]:
        """Yield path and rule, every kind."""
        for path in RULES:
            rules: Sequence[m.Rule] = self.rules_at(path)
            for index, rule in enumerate(rules):
                yield (*path, index), rule

    def rules_at(self, path: Path) -> Sequence[m.Rule]:
        """Return one kind of rules."""
        current: object = self.policy
        for step in path:
            current = getattr(current, str(step))
        assert isinstance(current, tuple)
        return current

    def expired(self, rule: m.Rule) -> bool:
        """Return whether a rule no longer holds; False where the time is unknown."""
        now = self.around.now
        return now is not None and rule.until is not None and end_of(rule.until, self.zone) <= now
