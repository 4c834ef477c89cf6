"""What a newcomer sees on a whole deployment: people, a policy that decides, its change, and the security team's view."""

from __future__ import annotations

import itertools
import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness.deployment import FRONT, everything, marker
from tests.harness.gate import joined, texts
from tests.harness.waiting import until

if TYPE_CHECKING:
    from tests.harness.deployment import Deployment
    from tests.harness.synapse import Client, Response

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

SCRIBE = "@charter-scribe:acme.example"
STEWARD = "@charter-steward:acme.example"
FUNCTIONAL = "io.element.functional_members"
CONTACT = "#it-security:acme.example"
PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n"
SDP = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=sendrecv\r\n"
CONTRACT: dict[str, type | tuple[type, ...]] = {
    "healthy": bool,
    "server_name": str,
    "homeserver": str,
    "client": (str, type(None)),
    "accounts": list,
    "rooms": dict,
    "processes": list,
    "policy": str,
    "ledger": str,
    "ports": dict,
}
_NUMBERS = itertools.count(1)


def file_message(url: str = "mxc://acme.example/nowhere") -> dict[str, Any]:
    """Return a file with a name that no other message has."""
    name = f"price-list-{next(_NUMBERS)}.pdf"
    return {"msgtype": "m.file", "body": name, "url": url, "info": {"mimetype": "application/pdf"}}


def call(client: Client, room: str) -> Response:
    """Ring the other person of a room."""
    invite = {"call_id": f"c{next(_NUMBERS)}", "party_id": "p", "version": "1", "lifetime": 60000}
    return client.send(room, invite | {"offer": {"type": "offer", "sdp": SDP}}, "m.call.invite")


def synced(client: Client) -> dict[str, Any]:
    """Return a whole first /sync; Synapse caches identical ones, so each asks for another number of events."""
    only = json.dumps({"room": {"timeline": {"limit": 100 + next(_NUMBERS)}}})
    answer = client.get("/sync", filter=only)
    assert answer.status == 200, answer
    body: dict[str, Any] = answer.body
    return body


def invited(client: Client, inviter: str) -> list[str]:
    """Return the rooms into which somebody has invited a person."""
    rooms = synced(client).get("rooms", {}).get("invite", {})
    return [room for room, part in rooms.items() if any(e["sender"] == inviter for e in part["invite_state"]["events"])]


@pytest.fixture(scope="module")
def sales(company: Deployment) -> str:
    """A room of bob, an employee, and tom, a contractor."""
    return joined(company.client("bob"), [company.client("tom")], name="Sales")


@pytest.fixture(scope="module")
def office(company: Deployment) -> str:
    """A direct chat of mia and nina, who may not call."""
    return joined(company.client("mia"), [company.client("nina")], is_direct=True, preset="trusted_private_chat")


@pytest.fixture(scope="module")
def prices(company: Deployment) -> str:
    """Another room of theirs."""
    return joined(company.client("bob"), [company.client("tom")], name="Prices")


@pytest.fixture(scope="module")
def refusal(company: Deployment, prices: str) -> str:
    """The id of the first refusal in a room where tom has just said something that was allowed."""
    tom = company.client("tom")
    assert tom.say(prices, "Here comes the price list.").status == 200
    event = tom.send(prices, file_message()).body["event_id"]
    found = marker(company.client("bob").get(f"/rooms/{prices}/event/{event}").body)
    assert found is not None
    return str(found["id"])


@pytest.fixture(scope="module")
def grace(company: Deployment) -> Client:
    """Grace of the security team, who has accepted the invitations to the compliance rooms."""
    grace = company.client("grace")
    rooms = company.status()["rooms"]
    until(lambda: set(rooms.values()) <= set(invited(grace, SCRIBE)), "grace is invited to all four", within=60)
    for room in rooms.values():
        assert grace.join(room).status == 200
    return grace


def test_status_is_healthy_and_keeps_its_contract(company: Deployment) -> None:
    """Scripts find every key that they were promised, and every part is healthy."""
    found = json.loads(company.charter("status", "--json", code=0).stdout)
    assert dict.fromkeys(CONTRACT, True) == {key: isinstance(found[key], kind) for key, kind in CONTRACT.items()}
    assert found["healthy"] is True
    assert found["server_name"] == "acme.example"
    assert {"journal", "audit", "alerts", "approvals"} == set(found["rooms"])
    assert all(room.startswith("!") for room in found["rooms"].values())
    parts = {"directory", "synapse", "scribe", "steward"} | set(company.synapses) - {FRONT}
    parts |= {"nginx"} if "worker1" in parts else set()
    assert parts <= {row["name"] for row in found["processes"]}
    assert all(row["healthy"] and row["pid"] > 1 for row in found["processes"])
    accounts = {row["user"]: row for row in found["accounts"]}
    assert len(accounts) >= 12
    assert "contractors" in accounts["tom"]["groups"]
    assert accounts["ada"]["password"] == "ada-demo"


def test_everybody_logs_on_with_the_directory_password(company: Deployment) -> None:
    """At the front and at each process; a wrong password is refused, and a refresh token is never given."""
    for process in {FRONT: 0} | dict.fromkeys(company.synapses):
        answer = company.log_on("otto", process=process)
        assert answer.status == 200, (process, answer)
        assert answer.body["user_id"] == "@otto:acme.example"
        assert "refresh_token" not in answer.body
        assert company.log_on("otto", "wrong", process=process).status == 403


def test_a_file_of_a_contractor_does_not_arrive(company: Deployment, sales: str) -> None:
    """On every process: the text arrives, the file's message is replaced, its upload withheld; nothing of it is with bob."""
    tom, bob = company.client("tom"), company.client("bob")
    refused = []
    for process, client in company.everywhere(tom).items():
        assert client.say(sales, f"hello from {process}").status == 200
        content = file_message()
        answer = client.send(sales, content)
        assert answer.status == 200, (process, answer)
        refused.append((answer.body["event_id"], content["body"]))
    upload = tom.upload(PDF, "application/pdf", "price-list.pdf")
    assert upload.status == 200, upload
    withheld = file_message(upload.body["content_uri"])
    refused.append((tom.send(sales, withheld).body["event_id"], withheld["body"]))
    events = {event["event_id"]: event for event in everything(bob, sales)}
    for event_id, name in refused:
        found = marker(events[event_id])
        assert found is not None, name
        assert found["rules"] == ["no-files-for-contractors"]
        body = events[event_id]["content"]["body"]
        assert "Contractors exchange files through the data room." in body
        assert CONTACT in body
    seen = json.dumps([synced(bob), list(events.values())])
    assert [name for _, name in refused if name in seen] == []
    assert "mxc://acme.example/nowhere" not in seen
    assert all(f"hello from {process}" in seen for process in company.everywhere(tom))


def test_a_call_that_is_not_granted_does_not_ring(company: Deployment, office: str) -> None:
    """On every process: the caller is told in a sentence, and nothing reaches the other."""
    mia, nina = company.client("mia"), company.client("nina")
    for process, client in company.everywhere(mia).items():
        answer = call(client, office)
        assert answer.status == 403, process
        assert answer.body["errcode"] == "M_FORBIDDEN"
        assert answer.body["org.charter.refusal"]["feature"] == "call.voice"
        assert CONTACT in answer.body["error"]
    seen = json.dumps([synced(nina), everything(nina, office)])
    assert [word for word in ("call_id", "party_id", "RTP/SAVPF") if word in seen] == []


def opposite(grants: str) -> str:
    """The grants with tom's files and mia's calls allowed, and the traders' calls taken away."""
    tom = grants.replace('except: ["@sven:acme.example"]', 'except: ["@sven:acme.example", "@tom:acme.example"]', 1)
    return tom.replace("id: traders-call\n    to: [traders]", 'id: mia-calls\n    to: ["@mia:acme.example"]', 1)


def test_a_changed_policy_turns_it_round_everywhere_within_two_seconds(
    company: Deployment, sales: str, office: str
) -> None:
    """The admin edits YAML and applies it: each process decides the opposite, and after taking it back as before."""
    tom, bob, mia = company.client("tom"), company.client("bob"), company.client("mia")
    ada, nina = company.client("ada"), company.client("nina")
    desk = joined(ada, [company.client("max")])
    assert call(ada, desk).status == 200
    with company.edited(opposite) as applied:
        assert applied["seconds"] <= 2
        assert applied["judging"] == len(company.synapses)
        assert "mia-calls" in applied["rules"]["added"]
        uploaded = tom.upload(PDF, "application/pdf", "price-list.pdf")
        assert uploaded.status == 200, uploaded
        for process, client in company.everywhere(tom).items():
            content = file_message(uploaded.body["content_uri"])
            event = client.send(sales, content).body["event_id"]
            assert bob.get(f"/rooms/{sales}/event/{event}").body["content"]["body"] == content["body"], process
            assert call(company.at(mia, process), office).status == 200, process
            assert call(company.at(ada, process), desk).status == 403, process
    assert "m.call.invite" in {event["type"] for event in everything(nina, office)}
    for process, client in company.everywhere(tom).items():
        event = client.send(sales, file_message()).body["event_id"]
        assert marker(bob.get(f"/rooms/{sales}/event/{event}").body), process
        assert call(company.at(mia, process), office).status == 403, process
        assert call(company.at(ada, process), desk).status == 200, process


def test_the_security_team_reads_both_in_the_compliance_rooms(
    company: Deployment, prices: str, refusal: str, grace: Client
) -> None:
    """What was said is in the journal room, what was refused in the audit room; both are in the ledger, which verifies."""
    rooms = company.status()["rooms"]
    until(
        lambda: any("Here comes the price list." in text for text in texts(grace, rooms["journal"])),
        "the text is in the journal room",
        within=40,
    )
    until(lambda: any(refusal in text for text in texts(grace, rooms["audit"])), "the refusal is in the audit room")
    record = company.record(refusal, kind="refusal", room=prices)
    assert record["actor"] == "@tom:acme.example"
    assert record["body"]["content"]["msgtype"] == "m.file"
    assert record["body"]["answer"] == "replace"
    said = company.ledger(kind="event", room=prices, text="Here comes the price list.")
    assert [each["actor"] for each in said] == ["@tom:acme.example"]
    assert {"id", "log", "index", "kind", "time", "room", "actor", "subject", "body"} <= set(record)
    company.charter("ledger", "verify", code=0)


def test_the_refused_person_gets_a_receipt(company: Deployment, refusal: str) -> None:
    """In a direct chat from the steward: which rule and where it stands, which policy, whom to ask, the record's id."""
    tom = company.client("tom")
    chat = until(lambda: invited(tom, STEWARD), "the steward invites tom", within=40)[0]
    assert tom.join(chat).status == 200
    receipts = until(lambda: [text for text in texts(tom, chat) if refusal in text], "the receipt", within=40)
    lines = (company.policy / "grants.yaml").read_text().splitlines()
    number = next(n for n, line in enumerate(lines, 1) if "- id: no-files-for-contractors" in line)
    policy = company.record(refusal, kind="refusal")["body"]["policy"]
    for wanted in (
        "no-files-for-contractors",
        "Contractors exchange files through the data room.",
        policy[:12],
        CONTACT,
    ):
        assert wanted in receipts[0]
    place = re.search(r"grants\.yaml:(\d+)", receipts[0])
    assert place is not None, receipts[0]
    assert abs(int(place[1]) - number) <= 1
    assert policy == company.status()["policy"]
    members = tom.get(f"/rooms/{chat}/state/{FUNCTIONAL}").body["service_members"]
    assert members == [SCRIBE]


def test_others_stay_out_of_the_compliance_rooms(company: Deployment, grace: Client) -> None:
    """Nina can neither join nor read, on any process, nor be invited by a reader, nor ask custody for evidence."""
    nina = company.client("nina")
    for room in company.status()["rooms"].values():
        assert grace.invite(room, nina.user_id).status == 403
        for process, client in company.everywhere(nina).items():
            assert client.join(room).status == 403, process
            assert client.get(f"/rooms/{room}/messages", dir="b").status == 403, process
            assert client.get(f"/rooms/{room}/state").status == 403, process
    for call_of_bots in ("outbox", "directory", "readers", "rooms"):
        answer = nina.request("GET", f"/_synapse/client/charter/v1/{call_of_bots}")
        assert answer.status in {401, 403}, call_of_bots
    assert nina.request("GET", "/_synapse/admin/v2/users").status == 403


def test_the_scribe_stays_and_a_direct_chat_keeps_its_name(company: Deployment) -> None:
    """An employee with all power in the room cannot remove the scribe, nor make clients count it as a person."""
    ada, max_ = company.client("ada"), company.client("max")
    chat = joined(ada, [max_], is_direct=True, preset="trusted_private_chat")
    people = {ada.user_id, max_.user_id}

    def members() -> set[str]:
        return set(ada.get(f"/rooms/{chat}/joined_members").body["joined"])

    until(lambda: members() == {*people, SCRIBE}, "the scribe is in the chat")
    for process, client in company.everywhere(ada).items():
        attempts = {
            "kick": client.post(f"/rooms/{chat}/kick", {"user_id": SCRIBE}),
            "ban": client.post(f"/rooms/{chat}/ban", {"user_id": SCRIBE}),
            "membership": client.state(chat, "m.room.member", {"membership": "leave"}, SCRIBE),
            "functional": client.state(chat, FUNCTIONAL, {"service_members": []}),
            "no list": client.state(chat, FUNCTIONAL, {}),
            "server list": client.state(chat, "m.room.server_acl", {"allow": ["*"], "deny": ["acme.example"]}),
        }
        assert dict.fromkeys(attempts, 403) == {name: answer.status for name, answer in attempts.items()}, process
    functional = max_.get(f"/rooms/{chat}/state/{FUNCTIONAL}").body["service_members"]
    assert people == members() - set(functional)
