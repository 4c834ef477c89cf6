"""Tables of results, as Markdown, with the machine and the versions they were measured on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

PACKAGES = (
    "matrix-synapse",
    "twisted",
    "pydantic",
    "orjson",
    "cedarpy",
    "synapse-http-antispam",
    "synapse-invite-checker",
)


def show(title: str, rows: list[dict[str, Any]]) -> None:
    """Print a heading and a Markdown table of the rows, which share their keys."""
    print(f"\n### {title}\n")
    keys = list(rows[0])
    print("| " + " | ".join(keys) + " |")
    print("|" + "---|" * len(keys))
    for row in rows:
        print("| " + " | ".join(_cell(row[key]) for key in keys) + " |")


def machine() -> str:
    """Return one line about the machine and the versions."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    return f"{os.cpu_count()} x {model}, CPython {platform.python_version()}, {versions}"


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
