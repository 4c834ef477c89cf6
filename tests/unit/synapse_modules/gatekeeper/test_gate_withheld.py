"""The files of withheld uploads: private, whole, finished as often as asked."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest

from synapse_modules import _gate_withheld
from synapse_modules._gate_withheld import empty, name_copy

if TYPE_CHECKING:
    from pathlib import Path

DATA = b"plan" * 1000


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a file of the media store."""
    file = tmp_path / "media"
    file.write_bytes(DATA)
    return file


@pytest.fixture
def part(tmp_path: Path, source: Path) -> Path:
    """Return a copy of it."""
    part = _gate_withheld._part(tmp_path / "withheld", "abc")
    assert _gate_withheld._copy(source, part) == hashlib.sha256(DATA).hexdigest()
    return part


def test_a_copy_is_private(source: Path, part: Path) -> None:
    """Only the server's own user may read it; the original is as it was."""
    assert (part.stat().st_mode & 0o777, part.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert part.read_bytes() == source.read_bytes() == DATA


def test_a_copy_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """What cannot be read is an error and no file."""
    part = tmp_path / "withheld" / ".part-x"
    with pytest.raises(FileNotFoundError):
        _gate_withheld._copy(tmp_path / "nothing", part)
    assert not part.exists()


def test_what_was_finished_may_be_finished_again(source: Path, part: Path) -> None:
    """The second time changes nothing; a copy that is nowhere is an error."""
    for _ in range(2):
        name_copy(part, "r-1")
        empty(source)
    assert (part.parent / "r-1").read_bytes() == DATA
    assert (part.exists(), source.read_bytes()) == (False, b"")
    with pytest.raises(FileNotFoundError):
        name_copy(part, "r-2")


def test_abandoned_copies_go(part: Path) -> None:
    """A copy that is not on record is deleted once it is old; others are left alone."""
    forget = _gate_withheld._forget_parts
    forget(part.parent, set())
    assert part.exists(), "somebody may be making it"
    os.utime(part, (0, 0))
    forget(part.parent, {"abc"})
    assert part.exists(), "it is on record"
    forget(part.parent, set())
    assert not part.exists()
    forget(part.parent / "nowhere", set())
