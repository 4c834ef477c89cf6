"""A ledger of its own for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ledger.store import Ledger, open_ledger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Where the test's ledger is."""
    return f"sqlite:///{tmp_path}/ledger/ledger.db"


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    """An empty ledger, open for writing."""
    with open_ledger(url) as opened:
        yield opened
