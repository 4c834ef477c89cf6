"""The scribe on a real Synapse: nothing lost, nothing twice, whatever happens to it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from tests.harness.synapse import Homeserver
from tests.harness.waiting import until
from tests.integration.bots_running import (
    BotProcess,
    event_ids,
    records,
    server_events,
    verified,
    wait_journaled,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.harness.synapse import Client

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

KILLS = 20


@pytest.fixture(scope="module")
def homeserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Homeserver]:
    """A Synapse without Charter's modules: the scribe must journal even while custody is silent."""
    server = Homeserver(tmp_path_factory.mktemp("synapse"), bots=("charter-scribe", "charter-steward"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def ada(homeserver: Homeserver) -> Client:
    """A person."""
    return homeserver.user("ada")


@pytest.fixture
def scribe(homeserver: Homeserver, tmp_path: Path) -> Iterator[BotProcess]:
    """A scribe with a ledger of its own; not started."""
    # Every test starts with an empty ledger, so rooms of earlier tests are journaled again from their beginning.
    process = BotProcess("scribe", homeserver, tmp_path, {"ledger": f"sqlite:///{tmp_path}/ledger.db"})
    yield process
    process.stop()


def room_with(ada: Client, scribe: BotProcess) -> str:
    """Make a room and wait until the scribe has joined it."""
    room = str(ada.create_room(invite=[scribe.user_id]).body["room_id"])
    until(lambda: joined(ada, room, scribe.user_id), "the scribe joined", within=40)
    return room


def joined(client: Client, room: str, user: str) -> bool:
    """Whether somebody is in a room."""
    answer = client.get(f"/rooms/{room}/joined_members")
    return answer.status == 200 and user in answer.body["joined"]


def wait_more(count: Callable[[], int], than: int | None = None) -> None:
    """Wait until a count is above what it is now, or above `than`."""
    before = count() if than is None else than
    until(lambda: count() > before, f"more than {before}", within=60)


def ledger_of(scribe: BotProcess) -> str:
    """URL of the scribe's ledger."""
    return str(scribe.config["ledger"])


def test_everything_is_journaled_once_though_the_scribe_is_killed_again_and_again(
    ada: Client, scribe: BotProcess
) -> None:
    """Killed at any moment, while people write, the scribe journals each event exactly once."""
    scribe.start()
    room = room_with(ada, scribe)
    sent: list[str] = []
    done = threading.Event()

    def talk() -> None:
        number = 0
        while not done.is_set():
            sent.append(ada.say(room, f"message {number}").body["event_id"])
            number += 1

    writer = threading.Thread(target=talk)
    writer.start()
    try:
        for _ in range(KILLS):
            wait_more(lambda: len(event_ids(ledger_of(scribe), room)))
            scribe.kill()
            scribe.start()
    finally:
        done.set()
        writer.join()
    wait_journaled(ledger_of(scribe), ada, room)
    assert set(sent) <= set(event_ids(ledger_of(scribe), room))
    assert verified(ledger_of(scribe))


def test_a_gap_larger_than_a_sync_is_filled(ada: Client, scribe: BotProcess) -> None:
    """What happens while the scribe is down is fetched completely, state changes included."""
    scribe.start()
    room = room_with(ada, scribe)
    wait_journaled(ledger_of(scribe), ada, room)
    scribe.kill()
    for number in range(130):
        ada.say(room, f"unseen {number}")
        if number % 40 == 0:
            ada.state(room, "m.room.name", {"name": f"name {number}"})
    scribe.start()
    wait_journaled(ledger_of(scribe), ada, room)
    assert verified(ledger_of(scribe))


def test_what_came_before_a_kick_and_the_kick_itself_are_journaled(ada: Client, scribe: BotProcess) -> None:
    """A scribe that was removed while it was down still journals up to its removal, and raises an alarm."""
    scribe.start()
    room = room_with(ada, scribe)
    wait_journaled(ledger_of(scribe), ada, room)
    scribe.kill()
    for number in range(110):
        ada.say(room, f"before the kick {number}")
    kick = ada.post(f"/rooms/{room}/kick", {"user_id": scribe.user_id})
    assert kick.status == 200
    expected = sorted(server_events(ada, room))
    ada.say(room, "after the kick")
    scribe.start()
    until(lambda: sorted(event_ids(ledger_of(scribe), room)) == expected, "journaled up to the kick", within=60)
    alarms = until(lambda: records(ledger_of(scribe), kind="alarm", room=room), "an alarm")
    assert [("scribe-removed", ada.user_id)] == [(a.body["code"], a.actor) for a in alarms]


def test_an_existing_room_is_journaled_from_its_beginning(ada: Client, scribe: BotProcess) -> None:
    """Invited into an old room, the scribe journals its whole past."""
    room = str(ada.create_room(preset="private_chat").body["room_id"])
    for number in range(120):
        ada.say(room, f"old {number}")
    scribe.start()
    until(lambda: ada.invite(room, scribe.user_id).status == 200, "the scribe exists and is invited")
    until(lambda: joined(ada, room, scribe.user_id), "the scribe joined", within=40)
    wait_journaled(ledger_of(scribe), ada, room)


def test_a_message_and_its_redaction_are_both_journaled(ada: Client, scribe: BotProcess) -> None:
    """A message that the scribe saw keeps its words in the ledger after it was deleted."""
    scribe.start()
    room = room_with(ada, scribe)
    event = str(ada.say(room, "the secret plan").body["event_id"])
    until(lambda: event in event_ids(ledger_of(scribe), room), "the message is journaled")
    ada.put(f"/rooms/{room}/redact/{event}/r1", {"reason": "oops"})
    wait_journaled(ledger_of(scribe), ada, room)
    bodies = [r.body["pdu"]["content"].get("body") for r in records(ledger_of(scribe), kind="event", room=room)]
    assert "the secret plan" in bodies


def test_a_second_scribe_on_the_same_state_is_refused(ada: Client, scribe: BotProcess) -> None:
    """Two processes on one device are one too many; the second says so in one line and ends."""
    scribe.start()
    room_with(ada, scribe)
    first = scribe._process
    before = scribe.log()
    scribe.start()
    second, scribe._process = scribe._process, first
    assert second is not None
    assert second.wait(30) == 2
    assert "another process already runs" in scribe.log()[len(before) :]


def test_a_wrong_token_is_told_in_one_line(scribe: BotProcess) -> None:
    """A token that Synapse does not know ends the scribe with a clear line."""
    (scribe.folder / "token").write_text("wrong")
    scribe.start()
    assert scribe._process is not None
    assert scribe._process.wait(30) == 2
    assert "does not know the token" in scribe.log()
    scribe._process = None


def test_sigterm_ends_it_cleanly(ada: Client, scribe: BotProcess) -> None:
    """Asked to stop, also in the middle of work, the scribe ends with 0."""
    scribe.start()
    room = room_with(ada, scribe)
    assert scribe.stop() == 0
    for _ in range(4):
        scribe.start()
        event = str(ada.say(room, "busy").body["event_id"])
        until(lambda event=event: event in event_ids(ledger_of(scribe), room), "journaled", within=40)  # type: ignore[misc]  # a lambda in a loop
        assert scribe.stop() == 0


def test_compliance_rooms_are_made_once_though_killed_meanwhile(ada: Client, scribe: BotProcess) -> None:
    """Wherever the scribe is killed while it makes its rooms, there are four of them in the end."""
    bot = scribe.homeserver.bot("charter-scribe")

    def compliance_rooms() -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for room in bot.get("/joined_rooms").body["joined_rooms"]:
            name = bot.get(f"/rooms/{room}/state/m.room.create").body.get("org.charter.room")
            if name:
                found.setdefault(name, []).append(room)
        return found

    before = {name: len(rooms) for name, rooms in compliance_rooms().items()}
    for count in (1, 2, 3):
        scribe.start()
        wait_more(lambda: sum(map(len, compliance_rooms().values())), sum(before.values()) + count - 1)
        scribe.kill()
    scribe.start()
    names = ("journal", "audit", "alerts", "approvals")
    after = {name: before.get(name, 0) + 1 for name in names}
    until(lambda: {k: len(v) for k, v in compliance_rooms().items()} == after, "four rooms", within=40)
    room = room_with(ada, scribe)
    ada.say(room, "hello <b>journal</b>")
    journal = compliance_rooms()["journal"]
    until(
        lambda: any("hello <b>journal</b>" in str(e["content"].get("body")) for r in journal for e in bot.messages(r)),
        "the message is mirrored",
        within=40,
    )
    assert {k: len(v) for k, v in compliance_rooms().items()} == after
