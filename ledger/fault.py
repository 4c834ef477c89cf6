"""A fault of the evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is not as it was committed.

    Attributes:
        kind: `altered`, `removed`, `inserted`, `reordered`, `truncated`, `tree` (size, root, frontier or tiles) or
            `database` (the file itself is damaged).
        log: name of the log.
        index: where, or None if no single place can be named.
        detail: one sentence.
    """

    kind: str
    log: str
    index: int | None
    detail: str

    def to_json(self) -> dict[str, Any]:
        """Returns the fault as JSON."""
        return {"kind": self.kind, "log": self.log, "index": self.index, "detail": self.detail}
