# ruff: noqa: INP001 - a script beside the pictures that it draws, no package
"""Draws docs/images/*.svg from the real output of real commands; run it in a checkout: ``python docs/images/make_picture.py``.

It starts the demo company in a temporary directory, plays the tour, asks and breaks the policy, and ends everything.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CHARTER = Path(sys.executable).with_name("charter")
WIDTH = 140
_FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
"""Rich's picture loads a font from a server outside; a reader's own monospace font does as well."""

_SPINNER = re.compile("[\u2800-\u28ff]")
_CURSOR = re.compile(r"\x1b\[(\d*[A-LJK]|\?25[hl])")

_MISTAKE = """\
grants:
  - id: staff-calls
    to: [staff, traderz]
    allow: [call.voice, call.vidoe]
"""


def run(*arguments: str) -> str:
    """Run one command in colour; return what a terminal would show in the end, steps first."""
    colours = {"FORCE_COLOR": "1", "COLUMNS": str(WIDTH), "TERM": "xterm-256color"}
    done = subprocess.run(  # noqa: S603 - our own command
        [str(CHARTER), *arguments], cwd=ROOT, env=os.environ | colours, capture_output=True, text=True, check=False
    )
    steps, shown = ([_last_state(line) for line in text.splitlines()] for text in (done.stderr, done.stdout))
    lines = [*filter(str.strip, steps), *shown]
    return "\n".join(line for line in lines if not _SPINNER.search(line)).strip("\n")


def _last_state(line: str) -> str:
    """Return what a line shows in the end: a spinner rewrites it, and moves the cursor, until its step is done."""
    return _CURSOR.sub("", line.rsplit("\r", 1)[-1])


def draw(name: str, title: str, shown: list[tuple[str, str]]) -> None:
    """Write one picture of commands and their output."""
    console = Console(record=True, width=WIDTH, file=io.StringIO())
    for command, output in shown:
        console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
        console.print(Text.from_ansi(output.strip("\n")))
    svg = _FONTS.sub("", console.export_svg(title=title, unique_id=name))
    svg = "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"
    (HERE / f"{name}.svg").write_text(svg, encoding="utf-8")


def free_port() -> int:
    """Choose a loopback port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    """Draw both pictures."""
    work = Path(tempfile.mkdtemp(prefix="charter-"))
    state = work / "var"
    try:
        day = run("up", "--demo", "--tour", "--state", str(state), "--port", str(free_port()))
        draw(
            "output",
            "charter up",
            [("charter up --demo --tour", day[: day.index("acme.example is up")].rpartition("ledger.")[0] + "ledger.")],
        )
    finally:
        run("down", "--state", str(state))
    broken = work / "acme"
    shutil.copytree(ROOT / "policies" / "acme", broken)
    (broken / "calls.yaml").write_text(_MISTAKE, encoding="utf-8")
    policy = ("--policy", "policies/acme", "--directory", "policies/acme/directory.ldif")
    asked = ("why", "tom", "file.image", *policy)
    draw(
        "why",
        "charter why, charter check",
        [
            (f"charter {' '.join(asked)}", run(*asked)),
            ("charter check policies/acme", run("check", str(broken)).replace(str(broken), "policies/acme")),
        ],
    )
    shutil.rmtree(work)


if __name__ == "__main__":
    main()
