"""The ledger is what the server has: every event once, through kills; and what operators can measure meanwhile."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from ledger.record import event_record_id
from tests.harness.deployment import everything, marker, persistently
from tests.harness.gate import joined
from tests.harness.waiting import until

if TYPE_CHECKING:
    from tests.harness.deployment import Deployment
    from tests.harness.synapse import Client

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

ON_THE_SERVER = """
    SELECT e.event_id FROM events AS e LEFT JOIN rejections AS r ON r.event_id = e.event_id
    WHERE NOT e.outlier AND r.event_id IS NULL
"""
PEOPLE = ("ada", "max", "bob", "tom", "grace")
KEPT = ("type", "sender", "state_key", "content", "origin_server_ts")


def difference(company: Deployment) -> tuple[list[str], list[str], list[str]]:
    """Return ids that the ledger lacks, that it has more than once, and that the server has never heard of."""
    ledger = Counter(str(record["body"]["event_id"]) for record in company.ledger(kind="event"))
    server = {str(row[0]) for row in company.rows(ON_THE_SERVER)}
    doubled = [event for event, times in ledger.items() if times > 1]
    return sorted(server - set(ledger)), doubled, sorted(set(ledger) - server)


def complete(company: Deployment) -> None:
    """Wait until the ledger has every event of the server once."""
    last: list[Any] = []

    def same() -> bool:
        last[:] = difference(company)
        return last == [[], [], []]

    try:
        until(same, "the ledger has what the server has", within=60)
    except AssertionError:
        assert last == [[], [], []], "(missing, doubled, unknown)"
        raise


def rooms_of(client: Client) -> list[str]:
    """Return the rooms of a person."""
    rooms: list[str] = client.get("/joined_rooms").body["joined_rooms"]
    return rooms


def refused_file(number: int) -> dict[str, Any]:
    """Return a message that a contractor may not send."""
    return {"msgtype": "m.file", "body": f"secret-{number}.pdf", "url": "mxc://acme.example/nowhere"}


def test_every_event_is_in_the_ledger_once_though_parts_are_killed(company: Deployment) -> None:
    """Messages and refusals go on while the scribe, Synapse and a worker are killed and started again by the supervisor."""
    bob, tom = company.client("bob"), company.client("tom")
    room = joined(bob, [tom], name="Kills")
    number = 0

    def go_on(times: int) -> None:
        nonlocal number
        for _ in range(times):
            number += 1
            said = persistently(bob, room, {"msgtype": "m.text", "body": f"number {number}"}, f"kill-{number}")
            tried = persistently(tom, room, refused_file(number), f"kill-{number}")
            assert (said.status, tried.status) == (200, 200), (said, tried)

    go_on(2)
    for part in ("scribe", "synapse", *company.synapses[1:2]):
        started_again = company.kill(part)
        go_on(4)
        if part == "scribe":
            assert tom.say(joined(bob, [tom], name="Made meanwhile"), "Nobody listens here?").status == 200
        started_again()
        go_on(1)
    complete(company)
    events = everything(bob, room)
    texts = Counter(event["content"].get("body") for event in events if event["sender"] == bob.user_id)
    assert {f"number {n}": texts[f"number {n}"] for n in range(1, number + 1)} == {
        f"number {n}": 1 for n in range(1, number + 1)
    }
    refused = sorted(str(found["id"]) for event in events if (found := marker(event)))
    assert len(refused) == number

    def recorded() -> list[str]:
        return [record["id"] for record in company.ledger(kind="refusal", room=room)]

    until(lambda: set(refused) <= set(recorded()), "every refusal is in the ledger", within=40)
    assert max(Counter(recorded()).values()) == 1
    kept = {record["body"]["content"]["body"] for record in company.ledger(kind="refusal", room=room)}
    assert kept == {f"secret-{n}.pdf" for n in range(1, number + 1)}
    company.charter("ledger", "verify", code=0)


def test_what_members_read_is_what_the_ledger_holds(company: Deployment) -> None:
    """In every room of several people, each event that a member reads is in the ledger, the same in every part."""
    complete(company)
    ledger = {str(record["body"]["event_id"]): record for record in company.ledger(kind="event")}
    read = 0
    for person in PEOPLE:
        client = company.client(person)
        for room in rooms_of(client):
            for event in everything(client, room):
                record = ledger.get(event["event_id"])
                # A room that goes on (the mirror writes into the journal room) may be ahead of the ledger by a moment.
                if record is None:
                    record = company.record(event_record_id(event["event_id"]), kind="event", room=room)
                assert record["room"] == room
                pdu = record["body"]["pdu"]
                if "redacted_because" in event.get("unsigned", {}):
                    continue
                assert {key: event.get(key) for key in KEPT} == {key: pdu.get(key) for key in KEPT}
                read += 1
    assert read > 50


def test_what_was_deleted_stays_in_the_ledger(company: Deployment) -> None:
    """Who deletes a message takes it from everybody's screen, the server's answer included, and not from the evidence."""
    bob, tom = company.client("bob"), company.client("tom")
    room = joined(bob, [tom], name="Deleted")
    words = "Sell before the announcement."
    event = bob.say(room, words).body["event_id"]  # and deleted before the scribe can have seen it
    assert bob.put(f"/rooms/{room}/redact/{event}/delete-1", {}).status == 200
    assert words not in str([everything(tom, room), everything(bob, room)])
    complete(company)
    record = company.record(event_record_id(event), kind="event", room=room)
    assert record["body"]["pdu"]["content"]["body"] == words
    company.charter("ledger", "verify", code=0)


def test_each_process_shows_its_metrics(company: Deployment) -> None:
    """Decisions by feature and outcome, time of judgement, policy number and age, depth of the outbox."""
    bob, tom = company.client("bob"), company.client("tom")
    room = joined(bob, [tom], name="Measured")
    head = bob.request("GET", "/_synapse/client/charter/v1/bundle/head").body
    text = 'charter_decisions_total{feature="chat.text",outcome="allow"}'
    file = 'charter_decisions_total{feature="file.other",outcome="replace"}'
    for process in company.synapses:
        before = company.metrics(process)
        assert company.at(tom, process).say(room, f"measured at {process}").status == 200
        assert company.at(tom, process).send(room, refused_file(0)).status == 200
        after = company.metrics(process)
        assert after[text] - before.get(text, 0) == 1, process
        assert after[file] - before.get(file, 0) == 1, process
        assert after["charter_judge_seconds_count"] > before["charter_judge_seconds_count"], process
        assert after["charter_judge_seconds_sum"] < 1, process
        assert after["charter_policy_sequence"] == head["sequence"], process
        applied = after["charter_policy_applied_at_seconds"]
        assert abs(time.time() - applied - after["charter_policy_age_seconds"]) < 30, process
        assert after["charter_outbox_depth"] >= 0, process
        assert not [name for name in after if name.startswith("charter_hook_failures_total")], process
