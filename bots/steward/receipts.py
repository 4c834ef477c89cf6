"""Denial receipts: each refusal is told to the person it concerns; repetitions are told together."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import TYPE_CHECKING, Any

from bots.kit.client import ServerError
from bots.kit.foreign import as_list, as_str
from bots.kit.queue import put
from charter.catalogue import FEATURES

if TYPE_CHECKING:
    from bots.kit.custody import OutboxRecord
    from bots.steward.desk import Desk

logger = logging.getLogger(__name__)

SCHEMA = """
CREATE TABLE IF NOT EXISTS told (record TEXT PRIMARY KEY, at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS folds (
    person TEXT NOT NULL, feature TEXT NOT NULL, place TEXT NOT NULL, record TEXT NOT NULL, opened_at REAL NOT NULL,
    more INTEGER NOT NULL DEFAULT 0, last_record TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (person, feature, place)
);
CREATE TABLE IF NOT EXISTS lost (record TEXT PRIMARY KEY, person TEXT NOT NULL, why TEXT NOT NULL);
"""
"""`told`: refusals that were dealt with. `folds`: what is told together. `lost`: receipts that nobody will get."""
PAGE = 100
KEEP_TOLD = 30 * 86400.0
NOT_TOLD = "receipt-not-sent"
"""Code of the alarm about a receipt that the server refuses for good."""
_SUMMARIES = {feature.id: feature.summary for feature in FEATURES}


class Receipts:
    """Takes refusals from the outbox, tells people, and acknowledges.

    Crash order: the receipt is queued, the record noted as told and the fold counted in one transaction; only then is
    the record acknowledged. Killed in between, it comes again and is recognised.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.sent = 0

    async def turn(self) -> None:
        """Handle what is pending, then close folds whose window is over."""
        while True:
            pending = await self._desk.custody.outbox(PAGE)
            done = [record.id for record in pending if await self._handled(record)]
            if done:
                await self._desk.custody.acknowledge(done)
            if len(pending) < PAGE or not done:
                break
        await self._close_folds()
        self._desk.queue.wake()

    async def _handled(self, record: OutboxRecord) -> bool:
        """Tell one person; False if it has to be tried again."""
        person = record.actor or ""
        if record.kind != "refusal" or not self._desk.config.is_person(person):
            return True
        if record.body.get("answer") == "withheld":
            return True  # The message that brings the withheld upload is refused in its turn, and told.
        if self._desk.store.rows("SELECT 1 FROM told WHERE record = ?", record.id):
            return True
        if self._folded(record, person):
            return True
        try:
            room = await self._desk.direct.room_for(person)
        except ServerError as error:
            logger.warning("no chat with person=%s status=%d errcode=%s", person, error.status, error.errcode)
            if error.passing:
                return False
            self._tell(record, person, None, str(error))
        else:
            self._tell(record, person, room)
        return True

    def _folded(self, record: OutboxRecord, person: str) -> bool:
        """Count the record where the same was told a short while ago."""
        now = self._desk.clock()
        key = (person, as_str(record.body.get("feature")), record.room or "")
        with self._desk.store.transaction() as db:
            opened = db.execute(
                "UPDATE folds SET more = more + 1, last_record = ?"
                " WHERE person = ? AND feature = ? AND place = ? AND opened_at > ?",
                (record.id, *key, now - self._desk.config.fold_window),
            )
            if opened.rowcount:
                db.execute("INSERT INTO told (record, at) VALUES (?, ?)", (record.id, now))
            return bool(opened.rowcount)

    def _tell(self, record: OutboxRecord, person: str, room: str | None, why: str = "") -> None:
        """Queue a receipt; without a room it is lost, and `why` is what the server said."""
        now = self._desk.clock()
        feature, place = as_str(record.body.get("feature")), record.room or ""
        with self._desk.store.transaction() as db:
            db.execute("INSERT INTO told (record, at) VALUES (?, ?)", (record.id, now))
            if room is None:
                _lose(db, record.id, person, why)
            else:
                self._put_summary(db, person, feature, place, room)
                content = self._desk.notices.notice("receipt", **self._values(record))
                put(db, room, content, f"receipt {record.id}", now=now, report=f"{record.id} {person}")
            db.execute(
                "INSERT OR REPLACE INTO folds (person, feature, place, record, opened_at) VALUES (?, ?, ?, ?, ?)",
                (person, feature, place, record.id, now),
            )
        self.sent += room is not None

    def _put_summary(self, db: Any, person: str, feature: str, place: str, room: str) -> None:
        """Queue what a fold collected, within the caller's transaction."""
        key = (person, feature, place)
        row = db.execute(
            "SELECT * FROM folds WHERE person = ? AND feature = ? AND place = ? AND more > 0", key
        ).fetchone()
        if row is None:
            return
        content = self._desk.notices.notice(
            "more", count=row["more"], what=_what(feature), first=row["record"], last=row["last_record"]
        )
        put(db, room, content, f"more {row['record']}", now=self._desk.clock(), report=f"{row['last_record']} {person}")

    async def _close_folds(self) -> None:
        over = self._desk.clock() - self._desk.config.fold_window
        for row in self._desk.store.rows("SELECT * FROM folds WHERE opened_at <= ?", over):
            key = (row["person"], row["feature"], row["place"])
            room, why = None, ""
            try:
                room = await self._desk.direct.room_for(row["person"]) if row["more"] else None
            except ServerError as error:
                logger.warning("no chat with person=%s status=%d errcode=%s", key[0], error.status, error.errcode)
                if error.passing:
                    continue
                why = str(error)
            with self._desk.store.transaction() as db:
                if room is not None:
                    self._put_summary(db, *key, room)
                elif why:
                    _lose(db, row["last_record"], row["person"], why)
                db.execute("DELETE FROM folds WHERE person = ? AND feature = ? AND place = ?", key)
        with self._desk.store.transaction() as db:
            db.execute("DELETE FROM told WHERE at < ?", (self._desk.clock() - KEEP_TOLD,))

    def _values(self, record: OutboxRecord) -> dict[str, Any]:
        """Return what the receipt says."""
        body = record.body
        rules, places = as_list(body.get("rules")), as_list(body.get("places"))
        named = [
            {"id": str(rule), "place": str(places[number]) if number < len(places) else ""}
            for number, rule in enumerate(rules)
        ]
        return {
            "what": _what(as_str(body.get("feature"))),
            "feature": as_str(body.get("feature")),
            "replaced": body.get("answer") == "replace",
            "room": record.room or "",
            "reason": as_str(body.get("reason")),
            "rules": named,
            "policy": as_str(body.get("policy"))[:12],
            "until": self._when(as_str(body.get("until"))),
            "contact": as_str(body.get("contact")),
            "record": record.id,
        }

    def _when(self, iso: str) -> str:
        try:
            return datetime.fromisoformat(iso).astimezone(self._desk.zone).strftime("%Y-%m-%d %H:%M %Z") if iso else ""
        except (ValueError, OverflowError):
            return iso

    async def report(self) -> None:
        """Put a `receipt` record for each receipt that was sent, and an alarm for each that will never be.

        Killed between putting and noting that, one may be recorded twice.
        """
        for owed in self._desk.queue.unreported():
            refusal, person = owed.report.split(" ", 1)
            body = {"refusal": refusal, "event_id": owed.event_id}
            await self._submit("receipt", body, owed.room, person)
            self._desk.queue.reported(owed.seq)
        for owed in self._desk.queue.refused():
            refusal, person = owed.report.split(" ", 1)
            await self._submit("alarm", _alarm(refusal, person, owed.error), owed.room, person)
            self._desk.queue.reported(owed.seq)
        for row in self._desk.store.rows("SELECT * FROM lost"):
            await self._submit("alarm", _alarm(row["record"], row["person"], row["why"]), None, row["person"])
            with self._desk.store.transaction() as db:
                db.execute("DELETE FROM lost WHERE record = ?", (row["record"],))

    async def _submit(self, kind: str, body: dict[str, Any], room: str | None, person: str) -> None:
        await self._desk.custody.submit(kind, body, room=room, actor=self._desk.config.user_id, subject=person)


def _lose(db: Any, record: str, person: str, why: str) -> None:
    db.execute("INSERT OR IGNORE INTO lost (record, person, why) VALUES (?, ?, ?)", (record, person, why))


def _alarm(refusal: str, person: str, why: str) -> dict[str, Any]:
    """Return the alarm about a receipt that nobody will get."""
    text = f"{person} was not told of the refusal {refusal}: the server refuses the steward's receipt ({why})"
    return {"code": NOT_TOLD, "text": text, "refusal": refusal}


def _what(feature: str) -> str:
    """Return a feature in words, fit for "You may not …"."""
    return _SUMMARIES.get(feature) or (f"use {feature}" if feature and feature != "unknown" else "do that")
