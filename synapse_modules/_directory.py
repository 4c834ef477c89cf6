"""The directory snapshot: owner of ``charter_directory``, kept in step on every process.

The background worker reads everybody and stores; a log-on of somebody new adds that one person. Both compare the
digest that they started from in the transaction that writes, so neither overwrites the other. Every process polls the
digest and hands a new snapshot to the runtime, which compiles the policy anew in a thread.

Crash order: snapshot and the list of leavers commit together; the sessions of leavers end afterwards and the list is
shortened only then, so a crash in between repeats the ending and forgets nobody.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from typing import TYPE_CHECKING, Final

from prometheus_client import Counter, Gauge

from charter.directory import DirectorySnapshot, Person
from synapse_modules._directory_changes import Changes, changes, digest_of, policy_attributes, suspicious
from synapse_modules._directory_table import REQUEST, STATUS, current, head, note, replace, set_note
from synapse_modules._ldap_connection import DirectoryError
from synapse_modules._ldap_pool import DirectoryPool
from synapse_modules._schema import at_startup

if TYPE_CHECKING:
    from synapse_modules._ldap_directory import Directory
    from synapse_modules._login_config import LoginConfig
    from synapse_modules._runtime import Runtime

logger = logging.getLogger(__name__)

TAKEN_AT = Gauge("charter_directory_taken_at_seconds", "When the directory snapshot of this process was taken")
SYNCS = Counter("charter_directory_syncs", "Readings of the whole directory, by result", ["result"])

_ATTEMPTS: Final = 5
_AGE_HANDED_OVER: Final = 300.0


class DirectoryKeeper:
    """Keeps this process's snapshot; on the background worker also the stored one.

    Attributes:
        snapshot: the newest one that this process loaded.
        taken_at: POSIX seconds of the newest reading, also where nothing changed.
    """

    def __init__(self, runtime: Runtime, config: LoginConfig, directory: Directory) -> None:
        self.snapshot: DirectorySnapshot | None = None
        self.taken_at: float | None = None
        self._digest = ""
        self._runtime = runtime
        self._config = config
        self._directory = directory
        self._trouble: str | None = None
        self._request_seen = 0
        self._read_for: frozenset[str] | None = None
        self._syncing = False
        self._again = False
        # One thread of its own: reading a large directory must not take a log-on's place.
        self._pool = DirectoryPool(runtime.api, "charter-directory-sync", threads=1, queue=1)
        self._load_at_start()
        api = runtime.api
        poll = runtime.config.poll_interval * 1000
        api.looping_background_call(self.poll, poll, desc="charter_poll_directory", run_on_all_instances=True)
        if api.should_run_background_tasks():
            interval = config.sync_interval * 1000
            api.looping_background_call(self.sync, interval, desc="charter_sync_directory")
            api.looping_background_call(self.serve_request, poll, desc="charter_directory_request")
            api.delayed_background_call(50, self.sync, desc="charter_sync_directory")
            runtime.on_policy(lambda _: self._policy_changed())

    def attributes(self) -> frozenset[str]:
        """Return the names of the attributes to keep: those of the configuration and of the policy."""
        compiled = self._runtime.compiled()
        named = policy_attributes(None if compiled is None else compiled.policy)
        return frozenset(self._config.attributes) | named

    def age(self) -> float | None:
        """Return the seconds since the newest reading, or None before the first."""
        return None if self.taken_at is None else max(0.0, self._runtime.now() - self.taken_at)

    def person(self, user_id: str) -> Person | None:
        """Return a person of the snapshot."""
        return None if self.snapshot is None else self.snapshot.people.get(user_id)

    async def poll(self) -> None:
        """Take over what another process stored; one indexed query when nothing changed."""
        found = await self._runtime.api.run_db_interaction("charter_directory_head", head)
        if found is None:
            return
        digest, taken_at = found
        if digest != self._digest:
            row = await self._runtime.api.run_db_interaction("charter_directory_row", current)
            if row is None:
                return
            digest, taken_at, text = row
            snapshot = await self._runtime.api.defer_to_thread(DirectorySnapshot.from_json, text.encode())
            self._accept(digest, dataclasses.replace(snapshot, taken_at=taken_at))
        elif self.snapshot is not None and taken_at - self.snapshot.taken_at > _AGE_HANDED_OVER:
            self._accept(digest, dataclasses.replace(self.snapshot, taken_at=taken_at))
        self._note_time(taken_at)

    async def remember(self, person: Person) -> None:
        """Add or replace one person, who has just been read, and wait until this process judges by it."""

        def merged(old: DirectorySnapshot | None) -> DirectorySnapshot:
            people = {} if old is None else dict(old.people)
            people[person.user_id] = person
            taken_at = self._runtime.now() if old is None else old.taken_at
            return DirectorySnapshot(dict(sorted(people.items())), taken_at)

        for _ in range(_ATTEMPTS):
            await self.poll()
            before = self.snapshot
            after = merged(before)
            if await self._store(after, changes(before, after), self.taken_at or after.taken_at):
                break
        await self._judging_by_newest()

    async def sync(self, *, accept_shrink: bool = False) -> None:
        """Read everybody and store what changed; whatever goes wrong, the last good snapshot stays."""
        if self._syncing:
            self._again = True
            return
        self._syncing = True
        try:
            trouble = await self._sync(accept_shrink=accept_shrink)
        except Exception as error:
            logger.exception("the directory could not be read")
            trouble = f"{type(error).__name__}: {error}"
        finally:
            self._syncing = False
        SYNCS.labels("failed" if trouble else "ok").inc()
        await self._report(trouble)
        if self._again:
            self._again = False
            self._runtime.api.run_as_background_process("charter_sync_directory", self.sync)

    async def serve_request(self) -> None:
        """Sync when the command line asked for it."""
        asked = await self._runtime.api.run_db_interaction("charter_directory_request", note, REQUEST)
        if isinstance(asked, dict) and asked.get("at", 0) > self._request_seen and not self._syncing:
            self._request_seen = asked["at"]
            await self.sync(accept_shrink=bool(asked.get("accept_shrink")))

    async def _sync(self, *, accept_shrink: bool) -> str | None:
        self._read_for = self.attributes()
        try:
            new = await self._pool.run(self._directory.read_all, self._read_for)
        except DirectoryError as error:
            return str(error)
        for _ in range(_ATTEMPTS):
            await self.poll()
            doubt = None if accept_shrink else suspicious(self.snapshot, new)
            if doubt is not None:
                return doubt
            difference = changes(self.snapshot, new)
            if await self._store(new, difference, new.taken_at):
                if difference:
                    body = difference.body(new.taken_at)
                    await self._runtime.outbox.put("directory", subject="directory", body=body)
                return None
        return "the stored snapshot kept changing; the next reading tries again"

    async def _store(self, new: DirectorySnapshot, difference: Changes, taken_at: float) -> bool:
        """Store over the snapshot that this process knows; False if somebody else stored meanwhile."""
        digest = await self._runtime.api.defer_to_thread(digest_of, new)
        text = "" if digest == self._digest else (await self._runtime.api.defer_to_thread(new.to_json)).decode()
        stored = await self._runtime.api.run_db_interaction(
            "charter_directory_store", replace, self._digest, digest, taken_at, text, difference.leavers
        )
        if stored:
            if digest != self._digest:
                self._accept(digest, new)
            self._note_time(taken_at)
        return stored

    async def _report(self, trouble: str | None) -> None:
        """Raise one alarm when trouble begins or changes, and leave word for the command line."""
        if trouble is None and self._trouble is not None:
            logger.info("the directory is readable again")
        elif trouble is not None and (self._trouble is None or trouble[:30] != self._trouble[:30]):
            logger.error("directory: %s; the last good snapshot stays", trouble)
            self._runtime.outbox.put_soon("alarm", body={"code": "directory", "text": trouble})
        self._trouble = trouble
        status = {
            "at": int(time.time() * 1000),
            "request": self._request_seen,
            "ok": trouble is None,
            "text": trouble,
            "people": 0 if self.snapshot is None else len(self.snapshot.people),
        }
        await self._runtime.api.run_db_interaction("charter_directory_status", set_note, STATUS, status)

    async def _judging_by_newest(self) -> None:
        """Wait (at most five seconds) until the policy is compiled with the newest snapshot."""
        for _ in range(250):
            active = self._runtime.active
            if active is None or active.snapshot is self.snapshot:
                return
            await self._runtime.api.sleep(0.02)
        logger.warning("the policy is still being compiled with the newest directory snapshot")

    def _accept(self, digest: str, snapshot: DirectorySnapshot) -> None:
        self._digest = digest
        self.snapshot = snapshot
        self._runtime.set_snapshot(snapshot)

    def _note_time(self, taken_at: float) -> None:
        self.taken_at = max(taken_at, self.taken_at or 0.0)
        TAKEN_AT.set(self.taken_at)

    def _policy_changed(self) -> None:
        """A policy that names an attribute which was not kept needs a new reading at once."""
        if self._read_for is not None and self.attributes() != self._read_for:
            self._runtime.api.run_as_background_process("charter_sync_directory", self.sync)

    def _load_at_start(self) -> None:
        row = at_startup(self._runtime.api, "charter_directory_start", current)
        if row is not None:
            digest, taken_at, text = row
            self._digest = digest
            self.snapshot = dataclasses.replace(DirectorySnapshot.from_json(text.encode()), taken_at=taken_at)
            self._note_time(taken_at)
            self._runtime.set_snapshot_at_start(self.snapshot)
