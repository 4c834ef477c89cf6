"""Accounts for everybody of the directory before their first log-on, so that colleagues find and invite each other.

An account gives no right: nobody is logged on by it, it has no password, and every act is judged as before. Runs on the
background worker alone; small steps, so that a directory of 100,000 people never holds up anybody.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from synapse.api.errors import Codes, SynapseError

if TYPE_CHECKING:
    from collections.abc import Callable

    from charter.directory import DirectorySnapshot, Person
    from synapse_modules._directory import DirectoryKeeper
    from synapse_modules._runtime import Runtime

logger = logging.getLogger(__name__)

_STEP_MS: Final = 500.0
_PEOPLE_PER_STEP: Final = 50


class Accounts:
    """Creates what is missing, a few at a time, whenever the snapshot changed."""

    def __init__(
        self,
        runtime: Runtime,
        keeper: DirectoryKeeper,
        display_attribute: Callable[[], str],
        is_no_person: Callable[[str], bool],
    ) -> None:
        self._runtime = runtime
        self._keeper = keeper
        self._display_attribute = display_attribute
        self._is_no_person = is_no_person
        self._existing: set[str] | None = None
        self._done: DirectorySnapshot | None = None
        if runtime.api.should_run_background_tasks():
            runtime.api.looping_background_call(self.step, _STEP_MS, desc="charter_accounts")

    async def step(self) -> None:
        """Create at most a few accounts; nothing to do costs one comparison."""
        snapshot = self._keeper.snapshot
        if snapshot is None or snapshot is self._done or self._runtime.compiled() is None:
            return  # without a policy it is not known which attribute is the name
        if self._existing is None:
            self._existing = await self._runtime.api.run_db_interaction("charter_accounts", _names)
        existing = self._existing
        missing = [p for p in snapshot.people.values() if p.enabled and p.user_id not in existing]
        for person in missing[:_PEOPLE_PER_STEP]:
            existing.add(person.user_id)  # whatever comes of it: one bad entry must not hold up the others
            if not self._is_no_person(person.user_id):
                await self._create(person)
        if len(missing) <= _PEOPLE_PER_STEP:
            self._done = snapshot

    async def _create(self, person: Person) -> None:
        names = person.attributes.get(self._display_attribute().lower(), ())
        try:
            await self._runtime.api.register_user(
                person.user_id[1:].partition(":")[0], displayname=names[0] if names else None
            )
        except SynapseError as error:
            if error.errcode != Codes.USER_IN_USE:  # in use: that person logged on meanwhile
                logger.warning("no account for %s: %s", person.user_id, error.msg)
        except Exception:
            logger.exception("no account for %s", person.user_id)


def _names(txn: Any) -> set[str]:
    txn.execute("SELECT name FROM users")
    return {row[0] for row in txn}
