"""docs/enforcement.md tells what the code does."""

from __future__ import annotations

from pathlib import Path

from synapse_modules._decisions import FLOOD_PER_MINUTE
from synapse_modules._interposed import INTERPOSITIONS

DOCUMENT = (Path(__file__).parents[4] / "docs" / "enforcement.md").read_text()


def test_every_interposition_is_documented() -> None:
    """Name and tested versions stand in one row."""
    rows = [line for line in DOCUMENT.splitlines() if line.startswith("|")]
    for each in INTERPOSITIONS:
        row = next(row for row in rows if row.startswith(f"| `{each.name}` |"))
        assert all(version in row for version in each.tested)
        assert each.where.rsplit(".", 1)[-1] in row


def test_the_flood_bound_is_documented() -> None:
    """The number is the code's."""
    assert f"More than {FLOOD_PER_MINUTE} refusals" in DOCUMENT
