"""Starting and stopping: parts end together, whatever swallows a cancellation."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from bots.kit.config import ConfigError, load_config
from bots.kit.lock import AlreadyRunningError, ProcessLock
from bots.kit.run import every, together
from bots.scribe.config import ScribeConfig

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """\
homeserver: http://127.0.0.1:8008
server_name: acme.example
user_id: "@charter-scribe:acme.example"
device_id: CHARTER
token_file: token
state: state.db
ledger: sqlite:///ledger.db
"""


async def test_the_first_failure_ends_all_parts() -> None:
    """One part fails: the others are cancelled and the failure is raised, not a group."""
    ended: list[str] = []

    async def lives() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("lives")

    async def fails() -> None:
        msg = "broken"
        raise ValueError(msg)

    with pytest.raises(ValueError, match="broken"):
        await together(lives(), fails())
    assert ended == ["lives"]


async def test_a_part_that_swallows_one_cancellation_still_ends() -> None:
    """Libraries lose cancellations; stopping must not depend on every one of them arriving."""

    async def stubborn() -> None:
        for _ in range(2):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                continue
        await asyncio.Event().wait()

    task = asyncio.create_task(together(stubborn()))
    done, _ = await asyncio.wait([task], timeout=0.01)
    assert not done
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 10)


async def test_a_turn_that_fails_is_followed_by_another() -> None:
    """`every` survives any failure and can be woken."""
    turns: list[int] = []
    done, wake = asyncio.Event(), asyncio.Event()

    async def turn() -> None:
        turns.append(len(turns))
        if len(turns) == 1:
            msg = "once"
            raise OSError(msg)
        done.set()

    task = asyncio.create_task(every(0.01, turn, "turn", wake))
    await asyncio.wait_for(done.wait(), 10)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert len(turns) >= 2


def test_a_lock_is_held_by_one(tmp_path: Path) -> None:
    """The second is refused; after the first has gone the next gets it."""
    path = tmp_path / "lock"
    with ProcessLock(path), pytest.raises(AlreadyRunningError), ProcessLock(path):
        pass
    with ProcessLock(path):
        pass


def test_a_configuration_is_read_with_units_and_relative_paths(tmp_path: Path) -> None:
    """Durations have units; files are beside the configuration."""
    (tmp_path / "c.yaml").write_text(GOOD + "heartbeat: 1500ms\n")
    (tmp_path / "token").write_text("secret\n")
    config = load_config(tmp_path / "c.yaml", ScribeConfig)
    assert (config.heartbeat, config.state, config.token()) == (1.5, tmp_path / "state.db", "secret")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("heartbeat: 10", "heartbeat: Value error, is not a duration"),
        ("colour: red", "colour: Extra inputs"),
        ("timezone: Nowhere/None", "timezone: Value error, is not a time zone"),
        ('user_id: "@x:other.example"', "is not a user of acme.example"),
        ("ledger: ''", "ledger: "),
        ("homeserver: localhost", "homeserver: "),
        (": : :", "is not YAML"),
    ],
)
def test_a_wrong_configuration_is_one_line(tmp_path: Path, change: str, told: str) -> None:
    """The message names the key and the trouble, on one line."""
    key = change.split(":", 1)[0]
    kept = [line for line in GOOD.splitlines() if not key or line.split(":", 1)[0] != key]
    (tmp_path / "c.yaml").write_text("\n".join([*kept, change]) + "\n")
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "c.yaml", ScribeConfig)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_token_is_told(tmp_path: Path) -> None:
    """Without its token a bot does not start."""
    (tmp_path / "c.yaml").write_text(GOOD)
    with pytest.raises(ConfigError, match="cannot read"):
        load_config(tmp_path / "c.yaml", ScribeConfig).token()
