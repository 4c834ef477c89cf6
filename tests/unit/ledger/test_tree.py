"""The tree against RFC 6962 by the letter, and against the published vectors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import TreeError
from ledger.tree import (
    EMPTY_ROOT,
    TILE_WIDTH,
    Frontier,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    range_hash,
    root_hash,
    tile_node,
    verify_consistency,
    verify_inclusion,
)

# The eight inputs and roots of the certificate-transparency reference implementation.
VECTORS = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def _naive(entries: list[bytes]) -> bytes:
    """MTH of RFC 6962 section 2.1, word for word."""
    if not entries:
        return EMPTY_ROOT
    if len(entries) == 1:
        return leaf_hash(entries[0])
    middle = 1
    while middle * 2 < len(entries):
        middle *= 2
    return node_hash(_naive(entries[:middle]), _naive(entries[middle:]))


class _Tiles:
    """Tiles in memory, filled from what the frontier hands out."""

    def __init__(self, entries: list[bytes], step: int) -> None:
        self.frontier = Frontier()
        self.levels: dict[int, list[bytes]] = {}
        for start in range(0, len(entries), step):
            for level, hashes in self.frontier.extend(entries[start : start + step]).items():
                self.levels.setdefault(level, []).extend(hashes)

    def node(self, height: int, number: int) -> bytes:
        return tile_node(
            height, number, lambda level, at: self.levels.get(level, [])[at * TILE_WIDTH : (at + 1) * TILE_WIDTH]
        )


def _entries(size: int) -> list[bytes]:
    return [str(number).encode() for number in range(size)]


@pytest.mark.parametrize("size", range(1, 9))
def test_published_roots(size: int) -> None:
    """The roots are those of the reference implementation."""
    frontier = Frontier()
    frontier.extend(bytes.fromhex(entry) for entry in VECTORS[:size])
    assert ROOTS[size - 1] == frontier.root().hex()


def test_the_empty_tree() -> None:
    """The root of nothing is the hash of nothing."""
    assert EMPTY_ROOT == Frontier().root() == root_hash(0, lambda _height, _number: b"")


@given(st.integers(1, 700), st.integers(1, 300))
def test_frontier_tiles_and_recursion_agree(size: int, step: int) -> None:
    """However it is appended, the root is that of the definition, from the frontier and from the tiles."""
    entries = _entries(size)
    tiles = _Tiles(entries, step)
    expected = _naive(entries)
    assert expected == tiles.frontier.root() == root_hash(size, tiles.node)
    again = Frontier.from_bytes(size, tiles.frontier.to_bytes())
    assert expected == again.root()


@given(st.integers(1, 600), st.data())
def test_inclusion(size: int, data: st.DataObject) -> None:
    """Every leaf is proven, and only as itself, there and in that tree."""
    entries = _entries(size)
    index = data.draw(st.integers(0, size - 1))
    tiles = _Tiles(entries, 100)
    proof = inclusion_proof(index, size, tiles.node)
    root = tiles.frontier.root()
    assert verify_inclusion(entries[index], index, size, proof, root)
    assert not verify_inclusion(b"other", index, size, proof, root)
    assert not verify_inclusion(entries[index], (index + 1) % size, size, proof, root) or size == 1
    assert not verify_inclusion(entries[index], index, size, [*proof, root], root)
    assert not verify_inclusion(entries[index], size, size, proof, root)
    if proof:
        assert not verify_inclusion(entries[index], index, size, proof[:-1], root)
        flipped = [bytes([proof[0][0] ^ 1]) + proof[0][1:], *proof[1:]]
        assert not verify_inclusion(entries[index], index, size, flipped, root)


@given(st.integers(0, 600), st.data())
def test_consistency(second: int, data: st.DataObject) -> None:
    """Every earlier tree is proven to be a beginning of the later one, and no other tree is."""
    first = data.draw(st.integers(0, second))
    entries = _entries(second)
    tiles = _Tiles(entries, 64)
    proof = consistency_proof(first, second, tiles.node)
    old, new = _naive(entries[:first]), tiles.frontier.root()
    assert verify_consistency(first, old, second, new, proof)
    assert not verify_consistency(first, leaf_hash(b"no"), second, new, proof)
    assert not verify_consistency(first, old, second, new, [*proof, new])
    if 0 < first < second:
        assert not verify_consistency(first, old, second, leaf_hash(b"no"), proof)
        assert not verify_consistency(first, old, second, new, proof[:-1])


def test_a_level_higher() -> None:
    """Beyond 65,536 leaves the second level of tiles holds what the definition says."""
    entries = _entries(66_000)
    tiles = _Tiles(entries, 7_000)
    assert [len(tiles.levels[2]), len(tiles.levels[1])] == [1, 257]
    assert range_hash(0, 65_536, tiles.node) == tiles.levels[2][0]
    proof = inclusion_proof(65_900, 66_000, tiles.node)
    assert verify_inclusion(entries[65_900], 65_900, 66_000, proof, tiles.frontier.root())


def test_what_is_not_there_is_refused() -> None:
    """Leaves, sizes and nodes beyond the tree are errors."""
    tiles = _Tiles(_entries(3), 3)
    with pytest.raises(TreeError):
        inclusion_proof(3, 3, tiles.node)
    with pytest.raises(TreeError):
        consistency_proof(4, 3, tiles.node)
    with pytest.raises(TreeError):
        tiles.node(0, 3)
    with pytest.raises(TreeError):
        Frontier.from_bytes(3, b"x")
