"""The Merkle tree of a log: RFC 6962 hashing over commitments, an append-only frontier, and proofs.

Pure. Hashes of perfect subtrees whose height is a multiple of eight fill tiles (C2SP tlog-tiles), from which every
node is a few hashes away; nothing here knows where tiles are kept.

Source: RFC 6962 section 2.1, RFC 9162 sections 2.1.3 and 2.1.4, C2SP tlog-tiles.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ledger.errors import TreeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

HASH_BYTES: Final = 32
TILE_HEIGHT: Final = 8
TILE_WIDTH: Final = 1 << TILE_HEIGHT
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()

Node = Callable[[int, int], bytes]
"""(height, number) -> the hash of the perfect subtree over leaves number·2^height … (number+1)·2^height-1."""


def leaf_hash(entry: bytes) -> bytes:
    """Returns SHA-256(0x00 ‖ entry); the entry of a record is its commitment."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Returns SHA-256(0x01 ‖ left ‖ right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(slots=True)
class Frontier:
    """The right edge of a tree: enough to append to it and to know its root.

    Attributes:
        size: number of leaves.
        peaks: hashes of the perfect subtrees that make up the tree, the largest first.
    """

    size: int = 0
    peaks: list[bytes] = field(default_factory=list)

    @classmethod
    def from_bytes(cls, size: int, peaks: bytes) -> Frontier:
        """Returns the frontier that `to_bytes` wrote.

        Raises:
            TreeError: the bytes are not those of a frontier of that size.
        """
        if len(peaks) != HASH_BYTES * size.bit_count():
            msg = f"a frontier of size {size} has {size.bit_count()} hashes, not {len(peaks)} bytes"
            raise TreeError(msg)
        return cls(size, [peaks[at : at + HASH_BYTES] for at in range(0, len(peaks), HASH_BYTES)])

    def to_bytes(self) -> bytes:
        """Returns the peaks, one behind the other."""
        return b"".join(self.peaks)

    def extend(self, entries: Iterable[bytes]) -> dict[int, list[bytes]]:
        """Appends entries; returns what `extend_leaves` does, so level 0 holds their leaf hashes."""
        sha256 = hashlib.sha256
        return self.extend_leaves([sha256(b"\x00" + entry).digest() for entry in entries])

    def extend_leaves(self, leaves: list[bytes]) -> dict[int, list[bytes]]:
        """Appends leaves that are hashed already.

        Returns:
            For each tile level the new hashes of that level, in order: level L gets one for each 256^L leaves.
        """
        sha256, peaks, size = hashlib.sha256, self.peaks, self.size
        grown = {0: leaves}
        for leaf in leaves:
            digest, rest, height = leaf, size, 0
            while rest & 1:
                digest = sha256(b"\x01" + peaks.pop() + digest).digest()
                rest >>= 1
                height += 1
                if not height % TILE_HEIGHT:
                    grown.setdefault(height // TILE_HEIGHT, []).append(digest)
            peaks.append(digest)
            size += 1
        self.size = size
        return grown

    def root(self) -> bytes:
        """Returns the root of the tree as it stands."""
        if not self.peaks:
            return EMPTY_ROOT
        digest = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            digest = node_hash(peak, digest)
        return digest


def tile_node(height: int, number: int, tile: Callable[[int, int], Sequence[bytes]]) -> bytes:
    """Returns a node from the tiles.

    Args:
        height: height of the perfect subtree.
        number: its number among those of its height.
        tile: (level, number) -> the hashes of that tile, as many as there are.

    Raises:
        TreeError: the tile does not reach so far.
    """
    level, inside = divmod(height, TILE_HEIGHT)
    first = number << inside
    hashes = list(tile(level, first // TILE_WIDTH))[first % TILE_WIDTH : first % TILE_WIDTH + (1 << inside)]
    if len(hashes) != 1 << inside:
        msg = f"no node {number} of height {height}"
        raise TreeError(msg)
    while len(hashes) > 1:
        hashes = [node_hash(hashes[at], hashes[at + 1]) for at in range(0, len(hashes), 2)]
    return hashes[0]


def _split(size: int) -> int:
    """Returns the largest power of two below the size."""
    return 1 << (size - 1).bit_length() - 1


def range_hash(start: int, end: int, node: Node) -> bytes:
    """Returns the hash of the leaves start … end-1, a range that the tree of RFC 6962 has."""
    size = end - start
    if size & (size - 1) == 0:
        height = size.bit_length() - 1
        return node(height, start >> height)
    middle = start + _split(size)
    return node_hash(range_hash(start, middle, node), range_hash(middle, end, node))


def root_hash(size: int, node: Node) -> bytes:
    """Returns the root of the tree's first `size` leaves."""
    return range_hash(0, size, node) if size else EMPTY_ROOT


def inclusion_proof(index: int, size: int, node: Node) -> list[bytes]:
    """Returns the audit path of a leaf, from the leaf upwards.

    Raises:
        TreeError: the tree has no such leaf.

    Source: RFC 6962 section 2.1.1.
    """
    if not 0 <= index < size:
        msg = f"no leaf {index} in a tree of size {size}"
        raise TreeError(msg)
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(range_hash(middle, end, node))
            end = middle
        else:
            path.append(range_hash(start, middle, node))
            start = middle
    return path[::-1]


def consistency_proof(first: int, second: int, node: Node) -> list[bytes]:
    """Returns the proof that the tree of size `second` extends the tree of size `first`.

    Raises:
        TreeError: first is not between 0 and second.

    Source: RFC 6962 section 2.1.2.
    """
    if not 0 <= first <= second:
        msg = f"no consistency from size {first} to {second}"
        raise TreeError(msg)
    if first in (0, second):
        return []
    path: list[bytes] = []
    start, end, whole = 0, second, True
    while first != end:
        middle = start + _split(end - start)
        if first <= middle:
            path.append(range_hash(middle, end, node))
            end = middle
        else:
            path.append(range_hash(start, middle, node))
            start, whole = middle, False
    if not whole:
        path.append(range_hash(start, end, node))
    return path[::-1]


def verify_inclusion(entry: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Tells whether the proof shows the entry at that index of the tree with that size and root.

    Source: RFC 9162 section 2.1.3.2.
    """
    if not 0 <= index < size:
        return False
    at, last, digest = index, size - 1, leaf_hash(entry)
    for sibling in proof:
        if last == 0:
            return False
        if at & 1 or at == last:
            digest = node_hash(sibling, digest)
            while not at & 1 and at:
                at >>= 1
                last >>= 1
        else:
            digest = node_hash(digest, sibling)
        at >>= 1
        last >>= 1
    return last == 0 and digest == root


def verify_consistency(first: int, first_root: bytes, second: int, second_root: bytes, proof: Sequence[bytes]) -> bool:
    """Tells whether the proof shows that the second tree extends the first.

    Source: RFC 9162 section 2.1.4.2; an empty first tree is consistent with every tree.
    """
    if not 0 <= first <= second:
        return False
    if first == second:
        return not proof and first_root == second_root
    if first == 0:
        return not proof and first_root == EMPTY_ROOT
    path = [first_root, *proof] if first & (first - 1) == 0 else list(proof)
    if not path:
        return False
    at, last = first - 1, second - 1
    while at & 1:
        at >>= 1
        last >>= 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not at & 1 and at:
                at >>= 1
                last >>= 1
        else:
            new = node_hash(new, sibling)
        at >>= 1
        last >>= 1
    return last == 0 and old == first_root and new == second_root
