"""``python -m bots.steward --config FILE``."""

from __future__ import annotations

import sys

from bots.kit.run import main
from bots.steward.app import serve
from bots.steward.config import StewardConfig

if __name__ == "__main__":
    sys.exit(main("steward", StewardConfig, serve))
