"""What is wrong with a policy, and where: one report, rendered elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A stretch of one source line.

    Attributes:
        file: path relative to the policy directory, with forward slashes.
        line: counted from 1.
        column: counted from 1, in characters.
        length: characters under the carets, at least 1, never beyond the line's end except on an empty line.
    """

    file: str
    line: int
    column: int
    length: int = 1

    def __str__(self) -> str:
        """Return ``file:line:column``."""
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding.

    Attributes:
        code: kebab-case, listed in :data:`charter.policy.codes.CODES`.
        severity: an error keeps a policy from being used, a warning does not.
        file: path relative to the policy directory.
        line: from 1.
        column: from 1.
        message: one sentence without a full stop.
        help: what to do about it; "" where nothing useful can be said.
        source_line: the text of the line.
        length: characters to underline.
        related: other places that belong to the finding, each with a few words.
    """

    code: str
    severity: Severity
    file: str
    line: int
    column: int
    message: str
    help: str = ""
    source_line: str = ""
    length: int = 1
    related: tuple[tuple[Span, str], ...] = ()

    def key(self) -> tuple[str, int, int, str, str]:
        """Return what findings are sorted by: place first."""
        return (self.file, self.line, self.column, self.code, self.message)


def ordered(diagnostics: list[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Return the findings sorted by place, without repetitions."""
    return tuple(sorted(dict.fromkeys(diagnostics), key=Diagnostic.key))


def has_errors(diagnostics: tuple[Diagnostic, ...]) -> bool:
    """Return whether one of the findings is an error."""
    return any(found.severity == "error" for found in diagnostics)
