"""`charter up --tour`: plays the script of `deploy.tour_steps` through the real client API and shows what came of it."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.markup import escape

from deploy import demo
from deploy.errors import DeployError
from deploy.tour_client import MARKER, Seat
from deploy.tour_steps import BACK, STEPS, Action, File, Invite, Policy, Room, Send
from ledger.errors import UnknownRecordError
from ledger.record import event_record_id
from ledger.store import open_ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deploy.http_json import Answer
    from deploy.state import Deployment, State
    from deploy.tour_steps import Outcome, Step
    from ledger.store import Ledger

RECORD_SECONDS = 20.0
POLL = 0.2
ADMIN = "admin"


@dataclass(frozen=True)
class Happened:
    """What came of an action: `saw` is what the employee was shown, `record` the ledger's record of it, if it is known."""

    outcome: Outcome
    saw: str
    record: str | None = None
    rules: tuple[str, ...] = ()


@dataclass(frozen=True)
class Line:
    """One line of the tour's report; `in_ledger` says that the record was found there."""

    step: str
    actor: str
    expected: Outcome
    outcome: Outcome
    saw: str
    rules: tuple[str, ...]
    record: str | None
    in_ledger: bool

    @property
    def as_meant(self) -> bool:
        """Whether the policy answered as the script expects, on record."""
        return self.outcome == self.expected and self.in_ledger


@dataclass
class Stage:
    """The tour's memory: who sits where, which rooms and events have which name."""

    state: State
    deployment: Deployment
    ledger: Ledger
    seats: dict[str, Seat] = field(default_factory=dict)
    rooms: dict[str, str] = field(default_factory=dict)
    events: dict[str, str] = field(default_factory=dict)

    def seat(self, user: str) -> Seat:
        """An employee, logged on at the first need.

        Raises:
            DeployError: not one of the demo's people, or not let in.
        """
        if user not in self.seats:
            passwords = {row["user"]: row["password"] for row in demo.accounts(self.deployment)}
            if user not in passwords:
                msg = f"The tour needs {user}, who is not in the demo's directory."
                raise DeployError(msg)
            self.seats[user] = Seat.log_on(self.deployment.homeserver_url, user, passwords[user])
        return self.seats[user]

    def play(self, step: Step) -> Line:
        """Play one step and find its record."""
        happened = self._act(step.actor, step.action)
        found = happened.record is not None and self._recorded(happened.record)
        return Line(
            step.title, step.actor, step.expect, happened.outcome, happened.saw, happened.rules, happened.record, found
        )

    def _act(self, actor: str, action: Action) -> Happened:
        match action:
            case Policy():
                return self._apply(action)
            case Room():
                return self._room(self.seat(actor), action)
            case Send():
                return self._send(self.seat(actor), action)
            case File():
                return self._file(self.seat(actor), action)
            case Invite():
                answer = self.seat(actor).invite(self.rooms[action.room], self.seat(action.user).user_id)
                return refused(answer) if not answer.ok else Happened("allowed", "invited")

    def _room(self, seat: Seat, action: Room) -> Happened:
        guests = [self.seat(user) for user in action.invite]
        answer = seat.create_room(invite=[guest.user_id for guest in guests], **action.settings)
        if not answer.ok:
            return refused(answer)
        room = answer.body["room_id"]
        self.rooms[action.name] = room
        for guest in guests:
            joined = guest.join(room)
            if not joined.ok:
                return refused(joined)
        created = seat.call("GET", f"/_matrix/client/v3/rooms/{room}/state")
        first = next((event["event_id"] for event in created.body if event["type"] == "m.room.create"), None)
        return Happened("allowed", "the room is there", event_record_id(first) if first else None)

    def _send(self, seat: Seat, action: Send) -> Happened:
        room = self.rooms[action.room]
        answer = seat.send(room, action.type, _filled(action.content, self.events))
        if not answer.ok:
            return refused(answer)
        event_id = answer.body["event_id"]
        if action.keep:
            self.events[action.keep] = event_id
        content = seat.event(room, event_id).get("content", {})
        if marker := content.get(MARKER):
            return Happened("refused", str(content.get("body", "")), marker.get("id"), tuple(marker.get("rules", ())))
        return Happened("allowed", str(content.get("body") or "sent"), event_record_id(event_id))

    def _file(self, seat: Seat, action: File) -> Happened:
        answer = seat.upload(action.name, action.data, action.content_type)
        if not answer.ok:
            return refused(answer)
        info = {"mimetype": action.content_type, "size": len(action.data)}
        content = {"msgtype": action.msgtype, "body": action.name, "url": answer.body["content_uri"], "info": info}
        return self._send(seat, Send(action.room, "m.room.message", content))

    def _apply(self, action: Policy) -> Happened:
        from deploy.apply_cli import apply_directory  # noqa: PLC0415 - imports this package's command line

        with tempfile.TemporaryDirectory(dir=self.state.run) as work:
            directory = Path(work) / "policy"
            shutil.copytree(self.deployment.policy, directory)
            if action.extra:
                (directory / "zz-tour.yaml").write_text(action.extra, encoding="utf-8")
            key = self.state.keys / "admin.key"
            began = time.time()
            applied = apply_directory(directory, homeserver=self.deployment.homeserver_url, key=key)
        processes = "1 process" if applied.judging == 1 else f"{applied.judging} processes"
        saw = f"in force on {processes} after {applied.seconds} s"
        return Happened("allowed", saw, self._policy_record(applied.policy, began))

    def _policy_record(self, digest: str, began: float) -> str | None:
        """The record that a policy came into force after a moment."""
        deadline = time.monotonic() + RECORD_SECONDS
        while time.monotonic() < deadline:
            entries = self.ledger.search(kind="policy", since=int(began * 1000) - 1000, limit=None)
            matching = [entry.record.id for entry in entries if entry.record.body.get("after") == digest]
            if matching:
                return str(matching[-1])
            time.sleep(POLL)
        return None

    def _recorded(self, record: str) -> bool:
        """Whether the ledger has a record, at once or within seconds."""
        deadline = time.monotonic() + RECORD_SECONDS
        while True:
            try:
                self.ledger.get(record)
            except UnknownRecordError:
                if time.monotonic() > deadline:
                    return False
                time.sleep(POLL)
            else:
                return True


def refused(answer: Answer) -> Happened:
    """What an error tells the employee."""
    body = answer.body if isinstance(answer.body, dict) else {}
    marker = body.get(MARKER) or {}
    saw = str(body.get("error") or f"error {answer.status}")
    return Happened("refused", saw, marker.get("id"), tuple(marker.get("rules", ())))


def _filled(content: Any, events: dict[str, str]) -> Any:
    """The content with `{name}` replaced by the event of that name."""
    if isinstance(content, dict):
        return {key: _filled(value, events) for key, value in content.items()}
    if isinstance(content, str) and content.startswith("{") and content.endswith("}"):
        return events.get(content[1:-1], content)
    return content


@contextmanager
def staged(state: State, deployment: Deployment) -> Iterator[Stage]:
    """A stage whose employees are logged off at the end, and whose policy is put back.

    Raises:
        DeployError: not a demo.
    """
    if not deployment.demo:
        msg = "The tour is played by the demo's people."
        raise DeployError(msg, advice="Use it with: charter up --demo --tour")
    with open_ledger(f"sqlite:///{state.ledger}", read_only=True) as ledger:
        stage = Stage(state, deployment, ledger)
        try:
            yield stage
        finally:
            for seat in stage.seats.values():
                seat.log_off()


def play(state: State, deployment: Deployment) -> Iterator[Line]:
    """Play the day, line by line; a policy that the tour applied never stays.

    Raises:
        DeployError: the tour cannot go on.
    """
    changed = False
    with staged(state, deployment) as stage:
        try:
            for step in STEPS:
                line = stage.play(step)
                if isinstance(step.action, Policy):
                    changed = bool(step.action.extra)
                yield line
        finally:
            if changed:
                stage.play(BACK)


def play_and_print(state: State, deployment: Deployment, *, as_json: bool) -> bool:
    """Play the day and show it; False if something did not go as the script expects."""
    if as_json:
        lines = list(play(state, deployment))
        click.echo(json.dumps({"tour": [asdict(line) | {"as_meant": line.as_meant} for line in lines]}, indent=2))
        return all(line.as_meant for line in lines)
    console = Console(highlight=False, soft_wrap=True)
    console.print("\n[bold]A day at ACME[/]\n")
    lines = []
    for line in play(state, deployment):
        lines.append(line)
        _show(console, line)
    meant = sum(line.as_meant for line in lines)
    console.print(f"{meant} of {len(lines)} steps went as the demo's policy means them to, each found in the ledger.\n")
    return meant == len(lines)


def _show(console: Console, line: Line) -> None:
    """Print one step: what happened, what the employee saw, and where it is recorded."""
    colour = "green" if line.outcome == "allowed" else "yellow"
    sign = f"[{colour}]{line.outcome}[/]" if line.as_meant else f"[bold red]{line.outcome}?[/]"
    console.print(f"{sign}  [bold]{escape(line.step)}[/]")
    console.print(f"         {escape(line.saw)}")
    record = (line.record or "none") + ("" if line.in_ledger else " (not in the ledger)")
    console.print(f"         [dim]record {escape(record)}[/]\n")
