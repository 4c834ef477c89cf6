"""What happened to a sequence of records, told from the leaf hashes that the tree's tiles remember.

Pure. Commitments are salted, so no two leaves of a log are equal: a leaf names its record wherever it went.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Leaf(NamedTuple):
    """The index of a stored record, and its leaf hash."""

    number: int
    hash: bytes


def compare(found: Sequence[Leaf], remembered: Sequence[bytes]) -> Iterator[tuple[str, int, str]]:
    """Yields kind, index and a sentence for each difference.

    Args:
        found: the records as they are, by index.
        remembered: the leaves as they were committed.
    """
    places = {leaf: place for place, leaf in enumerate(remembered)}
    kept: list[tuple[int, int]] = []  # index now, place then
    strangers: list[int] = []
    seen: set[bytes] = set()
    for index, leaf in found:
        if leaf in places and leaf not in seen:
            seen.add(leaf)
            kept.append((index, places[leaf]))
        else:
            strangers.append(index)
    missing = {place for leaf, place in places.items() if leaf not in seen}
    last_kept = max((place for _, place in kept), default=-1)
    for index in strangers:
        if index in missing:
            missing.discard(index)
            yield "altered", index, "another record stands where this one was committed"
            last_kept = max(last_kept, index)
        else:
            yield "inserted", index, "this record was never committed"
    tail = [place for place in sorted(missing) if place > last_kept]
    if tail:
        yield "truncated", tail[0], f"the last {len(tail)} records of the log are gone"
    for place in sorted(missing.difference(tail)):
        yield "removed", place, "the record that was committed here is gone"
    moved = [
        (index, place)
        for (index, place), due in zip(kept, sorted(place for _, place in kept), strict=True)
        if place != due
    ]
    if not (moved or strangers or missing):
        moved = [(index, place) for index, place in kept if index != place]
    for index, place in moved:
        yield "reordered", index, f"this record was committed at {place}"
