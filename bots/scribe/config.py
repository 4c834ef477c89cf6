"""The scribe's configuration."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from pydantic import Field, field_validator

from bots.kit.config import BotConfig, Duration


class ScribeConfig(BotConfig):
    """What the scribe needs besides what every bot needs.

    Attributes:
        ledger: URL of the ledger that it writes.
        steward: MXID of the steward, which posts in the compliance rooms too; "" without one.
        bots: MXIDs of all bots; they are not named as people of a direct chat.
        timezone: of the times in the compliance rooms.
        drain_interval: how often the outbox is asked when it was empty.
        readers_interval: how often the compliance rooms' members are compared with the policy.
        room_version: of the compliance rooms.
    """

    display_name: str = Field(default="Charter scribe (keeps the record)", min_length=1, max_length=100)
    ledger: str = Field(min_length=1)
    steward: str = Field(default="", pattern=r"^(@[^:]+:.+)?$")
    bots: tuple[str, ...] = ()
    timezone: str = "UTC"
    drain_interval: Duration = 1.0
    readers_interval: Duration = 15.0
    room_version: str = "11"
    sync_timeout: Duration = 20.0

    @field_validator("timezone")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError) as error:
            msg = "is not a time zone such as Europe/Berlin"
            raise ValueError(msg) from error
        return value

    def everyone_of_charter(self) -> frozenset[str]:
        """Return the MXIDs of all bots that it knows of, itself included."""
        return frozenset({self.user_id, self.steward, *self.bots} - {""})
