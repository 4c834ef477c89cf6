from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.bots.fake_homeserver import FakeHomeserver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from bots.kit.client import BotClient


@pytest.fixture
async def homeserver() -> AsyncIterator[FakeHomeserver]:
    """A scripted homeserver."""
    async with FakeHomeserver() as served:
        yield served


@pytest.fixture
async def client(homeserver: FakeHomeserver, tmp_path: Path) -> AsyncIterator[BotClient]:
    """A client of the scripted homeserver."""
    made = homeserver.client(tmp_path)
    yield made
    await made.close()
