"""What no grant can give away: the journal's place in every room, and the compliance rooms.

These denials come before the judge. Only Charter's bots and exempt administrators pass them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import orjson

from synapse_modules._decisions import denial
from synapse_modules._gate_rooms import MEMBER
from synapse_modules._schema import at_startup

if TYPE_CHECKING:
    from synapse.events import EventBase
    from synapse.module_api import ModuleApi
    from synapse.storage.database import LoggingTransaction

    from charter.judge import Compiled
    from charter.verdict import Verdict
    from synapse_modules._runtime import Runtime

FUNCTIONAL: Final = "io.element.functional_members"
ACL: Final = "m.room.server_acl"
PROTECTED: Final = frozenset({FUNCTIONAL, ACL, "m.room.create"})
"""State that nobody empties by a redaction."""

REMOVALS: Final = frozenset({"leave", "ban"})
POLL_MS: Final = 2_000
STAYS: Final = "The journal's account stays in every room."
NOT_SHUT_OUT: Final = "A room's server list may not shut out this server."
NO_ENCRYPTION: Final = "Encrypted rooms are not allowed: every conversation is journaled."
ENCRYPTION: Final = frozenset({"m.room.encryption", "m.room.encrypted"})


class ComplianceRooms:
    """Which rooms are compliance rooms, as the scribe told custody (``charter_notes``); polled by every process.

    Attributes:
        roles: room id -> ``journal``, ``audit``, ``alerts`` or ``approvals``.
    """

    def __init__(self, api: ModuleApi) -> None:
        self._api = api
        self.roles: Mapping[str, str] = at_startup(api, "charter_compliance_rooms", _noted)
        api.looping_background_call(self.poll, POLL_MS, desc="charter_compliance_rooms", run_on_all_instances=True)

    async def poll(self) -> None:
        """Read the note again."""
        self.roles = await self._api.run_db_interaction("charter_compliance_rooms", _noted)


def _noted(txn: LoggingTransaction) -> dict[str, str]:
    txn.execute("SELECT value FROM charter_notes WHERE name = 'rooms'")
    row = txn.fetchone()
    noted = orjson.loads(row[0]) if row else {}
    return {room: role for role, room in noted.items() if isinstance(room, str)}


class Invariants:
    """Checks local events and acts of employees; pure but for the policy and the list of rooms it reads."""

    def __init__(self, runtime: Runtime, rooms: ComplianceRooms) -> None:
        self._runtime = runtime
        self._rooms = rooms
        self._scribe = runtime.config.bots.get("scribe")

    def check(self, event: EventBase, compiled: Compiled | None) -> Verdict | None:
        """Return the denial of an event that would break an invariant, else None."""
        compliance = self._compliance_room(event.room_id)
        if compliance is not None:
            verdict = self._in_compliance_room(compliance, event, compiled)
            if verdict is not None:
                return verdict
        if event.type in ENCRYPTION and _unencrypted(compiled):
            return denial("room.encrypt", NO_ENCRYPTION)
        return self._scribe_stays(event) if event.is_state() else None

    def check_redaction(self, event: EventBase, target: EventBase | None) -> Verdict | None:
        """Return the denial of a redaction that would empty what protects the journal, else None.

        Args:
            event: the redaction.
            target: what it redacts; None where this server does not have it.
        """
        if target is None or target.room_id != event.room_id or not target.is_state():
            return None
        bots = target.type == MEMBER and self._runtime.is_bot(target.state_key)
        return denial("chat.delete", STAYS) if bots or target.type in PROTECTED else None

    def check_creation(self, config: Mapping[str, Any], compiled: Compiled | None) -> Verdict | None:
        """Return the denial of a request to create a room whose first state would break an invariant, else None."""
        events = config.get("initial_state")
        for event in events if isinstance(events, list | tuple) else ():
            kind = event.get("type") if isinstance(event, Mapping) else None
            if kind in ENCRYPTION and _unencrypted(compiled):
                return denial("room.encrypt", NO_ENCRYPTION)
            if kind == ACL and _shuts_out(event.get("content") or {}, self._runtime.api.server_name):
                return denial("room.moderate", NOT_SHUT_OUT)
        return None

    @staticmethod
    def check_upgrade(encrypted: bool, compiled: Compiled | None) -> Verdict | None:  # noqa: FBT001 - the one fact
        """Return the denial of upgrading a room whose state the new room may not have, else None."""
        return denial("room.encrypt", NO_ENCRYPTION) if encrypted and _unencrypted(compiled) else None

    def may_enter(self, user: str, room_id: str, compiled: Compiled | None) -> Verdict | None:
        """Return the denial of somebody who may not read a compliance room, else None."""
        role = self._compliance_room(room_id)
        if role is None or self.reads(user, role, compiled):
            return None
        return denial("room.join", "Only the readers whom the policy names may enter this room.")

    def is_compliance_room(self, room_id: str) -> bool:
        """Whether a room is one of the compliance rooms."""
        return self._compliance_room(room_id) is not None

    @staticmethod
    def reads(user: str, role: str, compiled: Compiled | None) -> bool:
        """Whether the policy names a person as a reader (of the approvals room, also as an approver)."""
        if compiled is None:
            return False
        names = compiled.policy.compliance.readers
        if role == "approvals":
            names = (*names, *compiled.policy.compliance.approvers)
        return any(compiled.member(user, name) for name in names)

    def _compliance_room(self, room_id: str) -> str | None:
        return self._rooms.roles.get(room_id)

    def _in_compliance_room(self, role: str, event: EventBase, compiled: Compiled | None) -> Verdict | None:
        if event.type == MEMBER and event.is_state() and event.state_key == event.sender:
            if event.content.get("membership") == "leave" or self.reads(event.sender, role, compiled):
                return None
            return denial("room.join", "Only the readers whom the policy names may enter this room.")
        if event.is_state() or event.type == "m.room.redaction":
            return denial("room.settings", "Nobody changes a compliance room.")
        return None

    def _scribe_stays(self, event: EventBase) -> Verdict | None:
        scribe = self._scribe
        if event.type == MEMBER:
            removed = event.content.get("membership") in REMOVALS
            return denial("room.moderate", STAYS) if removed and self._runtime.is_bot(event.state_key) else None
        if event.type == FUNCTIONAL and scribe is not None:
            members = event.content.get("service_members")
            kept = isinstance(members, list | tuple) and scribe in members
            return None if kept else denial("room.settings", STAYS)
        if event.type == ACL and _shuts_out(event.content, self._runtime.api.server_name):
            return denial("room.moderate", NOT_SHUT_OUT)
        return None


def is_firm(verdict: Verdict | None) -> bool:
    """Whether an invariant's denial holds in the shadow stage too; whether rooms may be encrypted is the policy's."""
    return verdict is not None and verdict.reason != NO_ENCRYPTION


def _unencrypted(compiled: Compiled | None) -> bool:
    return compiled is not None and compiled.policy.journal.encryption == "forbidden"


def _shuts_out(content: object, server: str) -> bool:
    """Whether a server ACL denies a server, or does not allow it; content that is no ACL shuts everybody out."""
    if not isinstance(content, Mapping):
        return True
    denied, allowed = content.get("deny", ()), content.get("allow", ())
    if not isinstance(denied, list | tuple) or not isinstance(allowed, list | tuple):
        return True
    if any(_matches(pattern, server) for pattern in denied):
        return True
    return not any(_matches(pattern, server) for pattern in allowed)


def _matches(pattern: object, server: str) -> bool:
    """Whether a glob of an ACL (``*`` and ``?``) matches a server name, ignoring case."""
    if not isinstance(pattern, str):
        return False
    regex = "".join({"*": ".*", "?": "."}.get(char, re.escape(char)) for char in pattern)
    return re.fullmatch(regex, server, re.IGNORECASE) is not None
