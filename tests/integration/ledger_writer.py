"""A writer to be killed: appends numbered records for ever and says after each append what was acknowledged.

Usage: `ledger_writer.py URL SEED`. Like the scribe it goes on from the state that was committed with the records.
"""

from __future__ import annotations

import random
import sys

from ledger.errors import LedgerBusyError
from ledger.record import Record
from ledger.store import Ledger, open_ledger
from tests.harness.waiting import until


def record(number: int) -> Record:
    """Returns the record with this number, always the same."""
    return Record(
        f"r-{number:08d}", "event", number, "!r:a", "@bob:a", None, {"pdu": {"content": {"body": "x" * (number % 500)}}}
    )


def _claims(ledger: Ledger) -> bool:
    try:
        ledger.claim()
    except LedgerBusyError:
        return False
    return True


def main(url: str, seed: int) -> None:
    """Appends until it is killed; prints the next number after each acknowledged append."""
    chance = random.Random(seed)  # noqa: S311 - sizes of batches
    with open_ledger(url) as ledger:
        until(lambda: _claims(ledger), "the writer before is gone")  # PostgreSQL notices a dead client after a moment
        following = int(ledger.state("next") or 0)
        print(following, flush=True)  # noqa: T201 - the test reads it
        while True:
            count = chance.choice((1, 2, 10, 100, 300))
            # Some of the records before come again, as from a source that was not acknowledged.
            again = max(0, following - chance.randrange(5))
            batch = [record(number) for number in range(again, following + count)]
            following += count
            ledger.append(batch, source_state={"next": str(following)})
            print(following, flush=True)  # noqa: T201 - the test reads it


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
