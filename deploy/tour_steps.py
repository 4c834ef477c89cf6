"""The tour's script: a day of the demo company, as data.

Each step names who acts, what they do and what the demo's policy is meant to answer. Rooms and events are named by the
step that makes them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Outcome = Literal["allowed", "refused"]


@dataclass(frozen=True, slots=True)
class Room:
    """Create a room; `name` is how later steps call it."""

    name: str
    invite: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Send:
    """Send an event; `keep` names it for later steps, `{name}` in texts is the event of that name."""

    room: str
    type: str
    content: Mapping[str, Any]
    keep: str = ""


@dataclass(frozen=True, slots=True)
class File:
    """Upload a file and send it."""

    room: str
    name: str
    content_type: str
    data: bytes
    msgtype: str


@dataclass(frozen=True, slots=True)
class Invite:
    """Invite a person."""

    room: str
    user: str


@dataclass(frozen=True, slots=True)
class Policy:
    """Apply the deployment's policy with one more file (`extra`), or, without one, as it was."""

    extra: str


Action = Room | Send | File | Invite | Policy


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the day."""

    title: str
    actor: str
    action: Action
    expect: Outcome
    rule: str = ""


def text(room: str, body: str, keep: str = "") -> Send:
    """A plain message."""
    return Send(room, "m.room.message", {"msgtype": "m.text", "body": body}, keep)


def call(room: str, *media: str) -> Send:
    """The invitation of a 1:1 call, with an SDP offer of these media."""
    lines = ["v=0", "o=- 1 2 IN IP4 127.0.0.1", "s=-", "t=0 0"]
    for kind in media:
        number = "111 opus/48000/2" if kind == "audio" else "96 VP8/90000"
        payload, codec = number.split(" ")
        lines += [
            f"m={kind} 9 UDP/TLS/RTP/SAVPF {payload}",
            "c=IN IP4 0.0.0.0",
            "a=sendrecv",
            f"a=rtpmap:{payload} {codec}",
        ]
    offer = {"type": "offer", "sdp": "\r\n".join(lines) + "\r\n"}
    content = {"call_id": "tour", "party_id": "tour", "version": "1", "lifetime": 60000, "offer": offer}
    return Send(room, "m.call.invite", content)


PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d494844520000000100000001080600000"
    "01f15c4890000000f49444154789c636068f8ff1f000482027fe7d85a6c0000000049454e44ae426082"
)
PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Count 0/Kids[]>>endobj\ntrailer<</Root 1 0 R>>\n"

LUNCH_CALLS = """\
grants:
  - id: tour-office-calls
    to: ["@mia:acme.example"]
    allow: [call.voice]
    in: [direct, private]
    reason: For the length of the tour.
"""

_EDIT = {
    "m.relates_to": {"rel_type": "m.replace", "event_id": "{hello}"},
    "msgtype": "m.text",
    "body": "* see the file",
    "m.new_content": {"msgtype": "m.file", "body": "prices.pdf", "url": "mxc://acme.example/none"},
}
_THUMB = {"m.relates_to": {"rel_type": "m.annotation", "event_id": "{plan}", "key": "👍"}}

BACK = Step("The admin takes it back", "admin", Policy(""), "allowed")

STEPS: tuple[Step, ...] = (
    Step("Ada opens a room with Max", "ada", Room("desk", ("max",), {"name": "Trading desk"}), "allowed"),
    Step(
        "Ada writes to Max",
        "ada",
        text("desk", "Good morning. The plan for today is in the shared folder.", "plan"),
        "allowed",
    ),
    Step("Max reacts", "max", Send("desk", "m.reaction", _THUMB), "allowed"),
    Step("Ada sends a picture", "ada", File("desk", "chart.png", "image/png", PNG, "m.image"), "allowed"),
    Step("Ada calls Max", "ada", call("desk", "audio"), "allowed"),
    Step("Bob opens a room with Tom, a contractor", "bob", Room("sales", ("tom",), {"name": "Sales"}), "allowed"),
    Step("Tom writes", "tom", text("sales", "Here is my first draft.", "hello"), "allowed"),
    Step(
        "Tom sends a file",
        "tom",
        File("sales", "draft.pdf", "application/pdf", PDF, "m.file"),
        "refused",
        "no-files-for-contractors",
    ),
    Step(
        "Tom edits his text into a file",
        "tom",
        Send("sales", "m.room.message", _EDIT),
        "refused",
        "no-files-for-contractors",
    ),
    Step("Tom writes again: the room still works", "tom", text("sales", "I will use the data room."), "allowed"),
    Step("Tom makes a video call", "tom", call("sales", "audio", "video"), "refused"),
    Step("Mia opens a room with Nina", "mia", Room("office", ("nina",), {"name": "Office"}), "allowed"),
    Step(
        "Mia sends an event of an unknown type", "mia", Send("office", "org.example.tunnel", {"data": "…"}), "refused"
    ),
    Step("Mia makes a public room", "mia", Room("", (), {"name": "Open day", "preset": "public_chat"}), "refused"),
    Step("Ada invites Erik of research", "ada", Invite("desk", "erik"), "refused", "research-wall"),
    Step("Mia calls Nina", "mia", call("office", "audio"), "refused"),
    Step("The admin applies a policy that lets Mia call", "admin", Policy(LUNCH_CALLS), "allowed"),
    Step("Mia calls Nina again", "mia", call("office", "audio"), "allowed"),
    BACK,
    Step("Mia calls once more", "mia", call("office", "audio"), "refused"),
)
