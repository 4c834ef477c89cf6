"""What the steward's parts share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from zoneinfo import ZoneInfo

    from bots.kit.client import BotClient
    from bots.kit.custody import Custody
    from bots.kit.notices import Notices
    from bots.kit.queue import Queue
    from bots.kit.store import Store
    from bots.steward.config import StewardConfig
    from bots.steward.direct import DirectChats


@dataclass(frozen=True)
class Desk:
    """The tools on the steward's desk; `clock` returns POSIX seconds, `zone` is that of times told to people."""

    config: StewardConfig
    client: BotClient
    custody: Custody
    store: Store
    queue: Queue
    direct: DirectChats
    notices: Notices
    zone: ZoneInfo
    clock: Callable[[], float]
