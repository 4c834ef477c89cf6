"""Who judges by what: every process notes its policy in ``charter_processes``, so that `charter apply` can wait for all."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from synapse_modules._schema import at_startup

if TYPE_CHECKING:
    from synapse.storage.database import LoggingTransaction

    from synapse_modules._bundle import Active
    from synapse_modules._runtime import Runtime

NOTE_EVERY = 15.0
ALIVE_WITHIN = 40.0
_FORGET_AFTER = 24 * 3600.0


class Attendant:
    """Notes this process: at start, after each swap and every 15 s."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        at_startup(runtime.api, "charter_process", self._note)
        runtime.on_policy(self._swapped)
        runtime.api.looping_background_call(
            self.note, NOTE_EVERY * 1000, desc="charter_note_process", run_on_all_instances=True
        )

    def _swapped(self, _active: Active) -> None:
        self._runtime.api.run_as_background_process("charter_note_process", self.note)

    async def note(self) -> None:
        """Write this process's row."""
        await self._runtime.api.run_db_interaction("charter_note_process", self._note)

    def _note(self, txn: LoggingTransaction) -> None:
        active = self._runtime.active
        digest, sequence = ("", 0) if active is None else (active.bundle.digest, active.bundle.sequence)
        txn.execute(
            "INSERT INTO charter_processes (instance, digest, sequence, seen_at) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (instance) DO UPDATE SET digest = EXCLUDED.digest, sequence = EXCLUDED.sequence,"
            " seen_at = EXCLUDED.seen_at",
            (self._runtime.instance, digest, sequence, int(time.time() * 1000)),
        )


def living(txn: LoggingTransaction) -> list[dict[str, Any]]:
    """Return the processes seen lately; rows of those that never came back are dropped after a day."""
    now = time.time()
    txn.execute("DELETE FROM charter_processes WHERE seen_at < ?", (int((now - _FORGET_AFTER) * 1000),))
    txn.execute(
        "SELECT instance, digest, sequence, seen_at FROM charter_processes WHERE seen_at >= ? ORDER BY instance",
        (int((now - ALIVE_WITHIN) * 1000),),
    )
    return [
        {"instance": row[0], "digest": row[1], "sequence": int(row[2]), "seen_at": int(row[3])}
        for row in txn.fetchall()
    ]
