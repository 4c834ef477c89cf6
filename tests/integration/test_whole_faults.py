"""What happens to people on a whole deployment when the directory stops, a policy is broken, or all of it restarts."""

from __future__ import annotations

import json
import shutil
from functools import partial
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.harness.deployment import FRONT
from tests.harness.gate import API, joined, room_of
from tests.harness.office import Office
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.harness.deployment import Deployment
    from tests.harness.synapse import Client, Response

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

BROKEN = """\
version: 1
grants:
  - id: everybody-does-everything
    to: [everyone]
    allow: ["*"]
    untill: 2030-12-31
  - {id: second, to: [nobody-knows-them], allow: [chat.*]}
  - {id: third, to: [everyone], allow: [telepathy]}
"""


@pytest.fixture(scope="module")
def desk(company: Deployment) -> str:
    """A room of ada and max."""
    return joined(company.client("ada"), [company.client("max")], name="Desk")


def refused_call(company: Deployment, client: Client, room: str) -> bool:
    """Whether somebody without the right to call is refused on every process."""
    invite = {"call_id": "c", "party_id": "p", "version": "1", "lifetime": 60000}
    content = invite | {"offer": {"type": "offer", "sdp": "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"}}
    answers = [each.send(room, content, "m.call.invite").status for each in company.everywhere(client).values()]
    return answers == [403] * len(answers)


def test_a_directory_that_does_not_answer_ends_no_conversation(company: Deployment, desk: str) -> None:
    """People go on talking; who wants to log on is told why not, on every process; later it works again."""
    ada, max_ = company.client("ada"), company.client("max")
    with company.frozen("directory"):
        for process in company.everywhere(ada):
            answer = company.log_on("mia", process=process)
            assert answer.status == 503, (process, answer)
            assert "The company directory cannot be reached" in answer.body["error"]
        for process, client in company.everywhere(ada).items():
            event = client.say(desk, f"still here, {process}").body["event_id"]
            assert max_.get(f"/rooms/{desk}/event/{event}").body["content"]["body"] == f"still here, {process}"
        parts = json.loads(company.charter("status", "--json", code=2).stdout)["processes"]
        assert [row["name"] for row in parts if not row["healthy"]] == ["directory"]
    for process in company.everywhere(ada):
        until(partial(_logs_on, company, "mia", process), f"mia logs on at {process}", within=15)
    assert company.status()["healthy"]
    company.kill("directory")()
    until(partial(_logs_on, company, "mia", FRONT), "mia logs on after the directory was killed", within=15)


def test_a_disabled_person_is_out(company: Deployment) -> None:
    """Her sessions end everywhere within the directory's interval, she cannot log on; enabled again, she can."""
    ida = company.new_session("ida")
    room = ida.create_room(name="Last words").body["room_id"]
    assert ida.say(room, "still here").status == 200
    with company.directory_entry("ida", "pwdAccountLockedTime: 000001010000Z"):
        everywhere = company.everywhere(ida)
        # The directory is read every 5 s; reading, ending sessions and telling the other processes take a moment.
        until(lambda: {401} == {_who(each).status for each in everywhere.values()}, "ida is out", within=12)
        assert ida.say(room, "and now?").status == 401
        for process in everywhere:
            answer = company.log_on("ida", process=process)
            assert answer.status == 403, (process, answer)
            assert "company directory" in answer.body["error"]
    until(lambda: company.log_on("ida").status == 200, "ida logs on again", within=30)

    def recorded() -> bool:
        """The scribe writes the ledger a moment later."""
        return ida.device_id in {record["body"]["device"] for record in company.ledger(kind="logoff", person="ida")}

    until(recorded, "the end of her session is on record", within=30)


def _logs_on(company: Deployment, user: str, process: str) -> bool:
    return company.log_on(user, process=process).status == 200


def _who(client: Client) -> Response:
    return client.get("/account/whoami")


@pytest.fixture
def broken(company: Deployment, tmp_path: Path) -> Path:
    """A copy of the policy with three mistakes in one file."""
    copy = tmp_path / "broken"
    shutil.copytree(company.policy, copy)
    (copy / "zz.yaml").write_text(BROKEN)
    return copy


def test_a_broken_policy_changes_nothing(company: Deployment, broken: Path, desk: str) -> None:
    """`charter apply` names each mistake and where it is, and exits with 1; people are judged as before."""
    before = company.status()["policy"]
    said = json.loads(company.charter("apply", str(broken), "--json", code=1).stdout)
    assert said["ok"] is False
    places = {(found["file"], found["line"]) for found in said["diagnostics"] if found["severity"] == "error"}
    assert places >= {("zz.yaml", 6), ("zz.yaml", 7), ("zz.yaml", 8)}
    assert all(found["column"] >= 1 and found["code"] and found["message"] for found in said["diagnostics"])
    words = company.charter("apply", str(broken), code=1).stderr
    assert "zz.yaml:6:5" in words
    assert "did you mean `until`?" in words
    assert "nothing was applied" in words
    assert company.status()["policy"] == before
    erik = company.client("erik")
    room = joined(erik, [company.client("bob")])
    assert refused_call(company, erik, room)
    assert company.client("ada").say(desk, "as before").status == 200


def test_a_bundle_that_nobody_signed_changes_nothing(company: Deployment) -> None:
    """Whatever is sent without the admin's signature is refused with a reason, and that is on record."""
    erik = company.client("erik")
    before = erik.request("GET", f"{API}/bundle/head").body
    stolen = company.rows("SELECT bundle FROM charter_bundle ORDER BY sequence DESC LIMIT 1")[0][0]
    forged = json.loads(stolen)
    forged["sequence"] = before["sequence"] + 1
    for body in (b"", b"{}", b"[]", b"\xff\xfe", json.dumps(forged).encode()):
        answer = erik.request("PUT", f"{API}/bundle", body)
        assert answer.status == 400, (body, answer)
        assert answer.body["errcode"] == "CHARTER_BAD_BUNDLE"
        assert answer.body["error"]
    replayed = erik.request("PUT", f"{API}/bundle", stolen.encode())
    assert (replayed.status, replayed.body["errcode"]) == (409, "CHARTER_OLD_BUNDLE")
    assert erik.request("GET", f"{API}/bundle/head").body == before
    until(lambda: company.ledger(kind="policy-refused"), "it is on record", within=30)


def test_down_leaves_no_process_and_up_finds_everything_again(company: Deployment, desk: str) -> None:
    """After `down` nothing of the state directory runs; after `up` policy, rooms, sessions and ledger are the same."""
    before = company.status()
    pids = {row["pid"] for row in before["processes"]} | set(company.processes())
    assert len(pids) > len(before["processes"])
    company.down()
    assert company.processes() == {}
    until(lambda: not [pid for pid in pids if psutil.pid_exists(pid)], "the last one is reaped", within=5)
    company.charter("status", code=2)
    company.up()
    after: dict[str, Any] = company.status()
    assert after["healthy"]
    kept = ("policy", "rooms", "homeserver", "server_name", "accounts", "ledger")
    assert {key: after[key] for key in kept} == {key: before[key] for key in kept}
    erik = company.client("erik")
    assert refused_call(company, erik, joined(erik, [company.client("bob")]))
    event = company.client("ada").say(desk, "good morning").body["event_id"]

    def journaled() -> bool:
        return event in {record["body"]["event_id"] for record in company.ledger(kind="event", room=desk)}

    until(journaled, "the scribe goes on", within=30)
    company.charter("ledger", "verify", code=0)
    assert company.log_on("max", process=FRONT).status == 200


@pytest.fixture(scope="module")
def unruled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """A company to which no policy was ever applied."""
    with Office(tmp_path_factory.mktemp("unruled")) as office:
        yield office


def test_without_a_policy_all_is_closed_and_says_so(unruled: Office) -> None:
    """People log on; whatever they try is refused with an explanation."""
    alice, steward = unruled.client("alice"), unruled.gate.steward
    room = room_of(steward.create_room(invite=[alice.user_id]))
    assert alice.join(room).status == 200, "Charter's own bots may still talk to people"
    attempts = {
        "room": alice.create_room(name="Plans"),
        "public room": alice.create_room(preset="public_chat"),
        "upload": alice.upload(b"text", "text/plain"),
        "message": alice.say(room, "Is anybody here?"),
    }
    assert dict.fromkeys(attempts, 403) == {name: answer.status for name, answer in attempts.items()}
    words = "There is no policy yet; ask your administrator."
    assert dict.fromkeys(attempts, words) == {name: answer.body["error"] for name, answer in attempts.items()}
    refused = unruled.gate.records("refusal")
    assert {record["body"]["policy"] for record in refused} == {""}
    assert unruled.gate.records("logon")[-1]["body"]["ok"] is True
