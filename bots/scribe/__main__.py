"""``python -m bots.scribe --config FILE``."""

from __future__ import annotations

import sys

from bots.kit.run import main
from bots.scribe.app import serve
from bots.scribe.config import ScribeConfig

if __name__ == "__main__":
    sys.exit(main("scribe", ScribeConfig, serve))
