"""What an employee tries with a client of their own: every attempt is judged by what a colleague can read afterwards.

Each attempt carries a word. The word must appear nowhere in what the colleague can get of the room, and the refusal
must be on record, with the feature that was missing.
"""

from __future__ import annotations

import functools
import urllib.parse
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness.gate import Gate, joined, texts
from tests.harness.synapse import Response
from tests.integration.attempts import (
    AUDIO,
    MALFORMED,
    MESSAGES,
    PDF,
    PNG,
    POLICY,
    STATES,
    UPLOADS,
    VIDEOS,
    WORD,
    WORDLESS,
    assert_not_uploaded,
    assert_stopped,
    filled,
    handed_out,
    offer,
    refused,
    seen,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness.synapse import Client

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """Return a running gate with the policy of this module."""
    gate = Gate(tmp_path_factory.mktemp("gate"), extra={"max_pending_media_uploads": 100})
    try:
        gate.start()
        gate.apply(POLICY)
        yield gate
    finally:
        gate.homeserver.stop()


@pytest.fixture(scope="module")
def people(gate: Gate) -> dict[str, Client]:
    """Return the company; root is a server administrator."""
    company = {name: gate.homeserver.user(name) for name in ("mallory", "mike", "bob", "carol")}
    return company | {"root": gate.homeserver.user("root", admin=True)}


@pytest.fixture(scope="module")
def room(people: dict[str, Client]) -> str:
    """Return a room of Mallory, Mike, Bob and the administrator, where everybody has every power that Matrix knows."""
    guests = [people[name] for name in ("mike", "bob", "root")]
    levels = {"users_default": 100, "users": {people["mallory"].user_id: 100}}
    return joined(people["mallory"], guests, power_level_content_override=levels)


@pytest.fixture(scope="module")
def names(people: dict[str, Client], room: str) -> dict[str, str]:
    """Return what the tables name: an event and two pictures that are really there."""
    return {
        "FIRST": people["mallory"].say(room, "first").body["event_id"],
        "MINE": people["mallory"].upload(PNG, "image/png").body["content_uri"],
        "BOBS": people["bob"].upload(PNG, "image/png").body["content_uri"],
    }


@pytest.mark.parametrize(("what", "event_type", "content", "feature"), MESSAGES, ids=[row[0] for row in MESSAGES])
def test_messages(  # noqa: PLR0917 - the columns of the table
    gate: Gate,
    people: dict[str, Client],
    room: str,
    names: dict[str, str],
    what: str,
    event_type: str,
    content: Any,
    feature: str,
) -> None:
    """No message carries what its sender may not send."""
    del what
    act = functools.partial(people["mallory"].send, room, filled(content, names), event_type)
    assert_stopped(gate, people["mallory"], people["bob"], room, act, feature)


@pytest.mark.parametrize(("what", "event_type", "content", "feature"), WORDLESS, ids=[row[0] for row in WORDLESS])
def test_words_without_chat_text(  # noqa: PLR0917 - the columns of the table
    gate: Gate,
    people: dict[str, Client],
    room: str,
    names: dict[str, str],
    what: str,
    event_type: str,
    content: Any,
    feature: str,
) -> None:
    """Nobody who may not write writes by other means."""
    del what
    act = functools.partial(people["mike"].send, room, filled(content, names), event_type)
    assert_stopped(gate, people["mike"], people["bob"], room, act, feature)


@pytest.mark.parametrize(("what", "event_type", "key", "content"), STATES, ids=[row[0] for row in STATES])
@pytest.mark.parametrize("who", ["mike", "root"])
def test_state(  # noqa: PLR0917 - the columns of the table
    gate: Gate, people: dict[str, Client], room: str, who: str, what: str, event_type: str, key: str, content: Any
) -> None:
    """No state event carries what its sender may not set, whatever power the room gives; administrators like everybody."""
    del what
    key = key.replace("@mike:", f"@{who}:") if event_type == "m.room.member" else key
    act = functools.partial(people[who].state, room, event_type, content, key)
    assert_stopped(gate, people[who], people["bob"], room, act, MALFORMED if event_type == "m.room.create" else "")


@pytest.mark.parametrize(("what", "event_type", "content"), VIDEOS, ids=[row[0] for row in VIDEOS])
def test_cameras_in_voice_calls(
    gate: Gate, people: dict[str, Client], what: str, event_type: str, content: dict[str, Any]
) -> None:
    """Somebody who may call by voice cannot turn on a camera or share the screen, however it is written."""
    del what
    mallory, carol = people["mallory"], people["carol"]
    direct = joined(mallory, [carol], is_direct=True)
    assert mallory.send(direct, offer(AUDIO, call_id="ok"), "m.call.invite").status == 200
    act = functools.partial(mallory.send, direct, content, event_type)
    assert_stopped(gate, mallory, carol, direct, act)
    assert mallory.send(direct, {"call_id": "ok", "version": "1"}, "m.call.hangup").status == 200


def test_no_redaction_empties_what_protects_the_journal(gate: Gate, people: dict[str, Client], room: str) -> None:
    """Redacting the event that names the scribe functional, its membership or the creation changes nothing."""
    mike = people["mike"]
    state = mike.get(f"/rooms/{room}/state").body
    before = len(refused(gate, mike, room))
    guarded = [e for e in state if e["type"] in {"io.element.functional_members", "m.room.create"}]
    guarded += [e for e in state if e["type"] == "m.room.member" and e["state_key"] == gate.scribe.user_id]
    for event in guarded:
        path = f"/rooms/{room}/redact/{urllib.parse.quote(event['event_id'])}/{event['type']}"
        assert mike.put(path, {}).status == 403, event
    assert [e["content"] for e in mike.get(f"/rooms/{room}/state").body] == [e["content"] for e in state]
    assert len(refused(gate, mike, room)) == before + len(guarded) == before + 3


def test_a_transaction_id_says_one_thing(people: dict[str, Client], room: str, gate: Gate) -> None:
    """The second content under one transaction id is not sent, whether the first was refused or not."""
    mallory, path = people["mallory"], f"/rooms/{room}/send/m.room.message/same"
    before = len(refused(gate, mallory, room))
    answers = [
        mallory.put(path, content)
        for content in (
            {"msgtype": "m.file", "body": WORD},
            {"msgtype": "x", "body": WORD},
            {"msgtype": "m.file", "body": WORD},
        )
    ]
    assert WORD not in seen(people["bob"], room)
    assert {answer.status for answer in answers} <= {200, 400, 403}
    assert len(refused(gate, mallory, room)) > before


def test_a_huge_message_is_nobodys_accident(gate: Gate, people: dict[str, Client], room: str) -> None:
    """Sizes and depths beyond reason are refused by somebody, and no hook fails over them."""
    deep: Any = WORD
    for _ in range(400):
        deep = {"a": deep}
    for content in ({"msgtype": "m.text", "body": WORD * 7000}, {"msgtype": ["x" * 60_000], "body": WORD}, deep):
        answer = people["mallory"].send(room, content)
        assert answer.status in {200, 400, 403, 413, 503}, answer
        assert WORD not in seen(people["bob"], room)
    assert "hook check_event_allowed failed" not in gate.homeserver.log()


@pytest.mark.parametrize(("what", "who", "data", "claimed", "granted"), UPLOADS, ids=[row[0] for row in UPLOADS])
@pytest.mark.parametrize("later", [False, True], ids=["at once", "created first"])
def test_uploads(  # noqa: PLR0917 - the columns of the table
    gate: Gate,
    people: dict[str, Client],
    what: str,
    who: str,
    data: bytes,
    claimed: str | None,
    *,
    granted: bool,
    later: bool,
) -> None:
    """Both ways to upload are judged by the bytes; nobody gets those of a refused one."""
    del what
    client, headers = people[who], {"Content-Type": claimed or ""}

    def upload() -> Response:
        if not later:
            return client.request("POST", "/_matrix/media/v3/upload", data, headers=headers)
        uri = client.request("POST", "/_matrix/media/v1/create", {}).body["content_uri"]
        path = uri.removeprefix("mxc://")
        answer = client.request("PUT", f"/_matrix/media/v3/upload/{path}", data, headers=headers)
        return Response(answer.status, {**answer.body, "content_uri": uri}, answer.headers)

    if granted:
        assert handed_out(people["bob"], upload(), data)
    else:
        assert_not_uploaded(gate, client, people["bob"], data, upload)


def test_a_file_granted_in_direct_chats_stays_there(gate: Gate, people: dict[str, Client]) -> None:
    """The upload is possible, the message only where the grant holds."""
    carol, bob, mike = people["carol"], people["bob"], people["mike"]
    uri = carol.upload(PDF, "application/pdf").body["content_uri"]
    file = {"msgtype": "m.file", "body": "plan.pdf", "url": uri}
    direct, three = joined(carol, [bob], is_direct=True), joined(carol, [bob, mike])
    assert carol.send(direct, file).status == 200
    assert texts(bob, direct) == ["plan.pdf"]
    carol.send(three, file)
    assert "plan.pdf" not in seen(bob, three)
    assert refused(gate, carol, three)[-1]["body"]["feature"] == "file.other"
