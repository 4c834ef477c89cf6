"""The steward's configuration."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from pydantic import Field, field_validator

from bots.kit.config import BotConfig, Duration


class StewardConfig(BotConfig):
    """What the steward needs besides what every bot needs.

    Attributes:
        scribe: MXID of the scribe; "" without one.
        bots: MXIDs of all bots; none of them is answered.
        timezone: of the times that it tells people.
        fold_window: refusals of the same feature in the same room within this time are told together.
        outbox_interval: how often the outbox is asked when it was empty.
        room_version: of the direct chats that it opens.
    """

    display_name: str = Field(default="Charter steward", min_length=1, max_length=100)
    scribe: str = Field(default="", pattern=r"^(@[^:]+:.+)?$")
    bots: tuple[str, ...] = ()
    timezone: str = "UTC"
    fold_window: Duration = 600.0
    outbox_interval: Duration = 1.0
    room_version: str = "11"

    @field_validator("timezone")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError) as error:
            msg = "is not a time zone such as Europe/Berlin"
            raise ValueError(msg) from error
        return value

    def is_person(self, user: str) -> bool:
        """Whether this is somebody to talk to: a local account that is none of the bots."""
        return user.endswith(":" + self.server_name) and user not in {self.user_id, self.scribe, *self.bots}
