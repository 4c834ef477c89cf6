"""Keeping the compliance rooms' members in step with the policy's readers and approvers."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bots.kit.client import CLIENT, BotClient, ServerError, q
from bots.kit.foreign import as_dict, as_list, as_str
from bots.scribe.records import derived_id
from ledger.record import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bots.kit.custody import ComplianceRooms, Custody, Readers
    from bots.scribe.journal import Journal

logger = logging.getLogger(__name__)

_IN = frozenset({"join", "invite"})


@dataclass(frozen=True)
class Member:
    """A person's membership of a room, and who made it so."""

    membership: str
    sender: str


@dataclass(frozen=True)
class Change:
    """What brings a room's members in step; names sorted."""

    added: tuple[str, ...]
    removed: tuple[str, ...]


def change(present: Mapping[str, Member], wanted: frozenset[str], bots: frozenset[str]) -> Change:
    """Compare members with what they should be.

    Somebody who left or declined by themselves is not asked again; who was removed before is.
    """
    added = [u for u in wanted if u not in present or _may_be_asked(u, present[u])]
    removed = [u for u, m in present.items() if m.membership in _IN and u not in wanted and u not in bots]
    return Change(tuple(sorted(added)), tuple(sorted(removed)))


def _may_be_asked(user: str, member: Member) -> bool:
    return member.membership not in _IN and member.sender != user


def wanted(name: str, readers: Readers) -> frozenset[str]:
    """Return who should be in the compliance room of this name, bots left out."""
    people = set(readers.readers)
    if name == "approvals":
        people.update(readers.approvers)
    return frozenset(people)


class ReadersInStep:
    """Invites and removes, and records each change."""

    def __init__(self, client: BotClient, custody: Custody, journal: Journal, bots: frozenset[str]) -> None:
        self._client = client
        self._custody = custody
        self._journal = journal
        self._bots = bots

    async def turn(self, rooms: ComplianceRooms) -> None:
        """Bring all four rooms in step."""
        readers = await self._custody.readers()
        for name in ("journal", "audit", "alerts", "approvals"):
            room = getattr(rooms, name)
            due = change(await self._members(room), wanted(name, readers), self._bots)
            if due.added or due.removed:
                await self._apply(name, room, due)

    async def _apply(self, name: str, room: str, due: Change) -> None:
        """Record first, then act: killed in between, the change is seen and recorded again, never missed."""
        now = int(time.time() * 1000)
        body = {"name": name, "room": room, "added": list(due.added), "removed": list(due.removed)}
        cause = f"readers\0{room}\0{due.added}\0{due.removed}"
        record = Record(derived_id(now, cause), "compliance-room", now, room, self._client.user_id, name, body)
        await self._journal.append([record])
        for user in due.removed:
            await self._member("kick", room, {"user_id": user, "reason": "No longer a reader of this room."})
        for user in due.added:
            await self._member("invite", room, {"user_id": user})
        logger.info("readers changed room=%s added=%d removed=%d", name, len(due.added), len(due.removed))

    async def _member(self, act: str, room: str, body: dict[str, str]) -> None:
        try:
            await self._client.call("POST", f"{CLIENT}/rooms/{q(room)}/{act}", body)
        except ServerError as error:
            if error.passing:
                raise
            logger.warning("%s refused user=%s status=%d", act, body["user_id"], error.status)

    async def _members(self, room: str) -> dict[str, Member]:
        answer = as_dict(await self._client.call("GET", f"{CLIENT}/rooms/{q(room)}/members"))
        members = {}
        for event in as_list(answer.get("chunk")):
            user = as_str(as_dict(event).get("state_key"))
            membership = as_str(as_dict(as_dict(event).get("content")).get("membership"))
            members[user] = Member(membership, as_str(as_dict(event).get("sender")))
        return members
