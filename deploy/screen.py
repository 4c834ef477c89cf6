"""What `up` and `status` show to people."""

from __future__ import annotations

import os
import shutil
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deploy.errors import DeployError
    from deploy.state import State

QUICK = 0.5
"""Steps shorter than this many seconds are shown without their time."""


class Steps:
    """Progress as a list of ticks: a spinner on a terminal, plain lines elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Show that something begins, and then how it ended."""
        began = time.monotonic()
        try:
            with self._console.status(escape(text)):
                yield
        except BaseException:
            self._console.print(f"[red]✗[/] {escape(text)}", highlight=False)
            raise
        took = time.monotonic() - began
        suffix = f" [dim]{took:.1f} s[/]" if took >= QUICK else ""
        self._console.print(f"[green]✓[/] {escape(text)}{suffix}", highlight=False)


def error(problem: DeployError) -> None:
    """Show one clear error on standard error."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"[bold red]error[/]: {escape(problem.message)}")
    if problem.advice:
        console.print(f"  [dim]=[/] help: {escape(problem.advice)}")


def welcome(state: State, policy: Path, found: dict[str, Any]) -> None:
    """Say where and as whom to log on."""
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"\n[bold green]{escape(found['server_name'])} is up[/] at [bold]{found['homeserver']}[/]\n")
    _accounts(console, found)
    console.print("[bold]Log on[/]")
    if found["client"]:
        console.print(f"  In a browser:     {found['client']}")
    elif found["web"]["state"] == "building":
        console.print("  In a browser:     being built; `charter status` says when and where")
    elif found["web"]["state"] == "failed":
        console.print(f"  In a browser:     the client could not be built: {escape(found['web']['step'])}")
    elif found["web"]["state"] == "ready":
        console.print("  In a browser:     the client is built and does not answer yet; see `charter status`")
    else:
        console.print(f"  In a browser:     `{escape(program())} up --web` builds and serves a client (needs Node 18)")
    console.print(f"  Element desktop:  element-desktop --profile-dir {escape(str(state.root / 'element'))}")
    console.print(f"  Any other client: choose the homeserver {found['homeserver']}")
    shown, charter = _shown(state), escape(program())
    console.print("\n[bold]Next[/]")
    console.print(f"  Edit {escape(str(policy))}, then: {charter} apply {escape(str(policy))}{shown}")
    console.print(f"  {charter} status{shown} · {charter} logs{shown} -f · {charter} down{shown}")


def unapplied(state: State, policy: Path) -> None:
    """Say, on standard error, that the policy in the directory is not the one in force."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    where, charter = escape(str(policy)), escape(program())
    console.print(
        f"\n[yellow]The policy in {where} differs from the one in force;[/] {charter} apply {where}{_shown(state)}"
    )


def _shown(state: State) -> str:
    """The option that names the state directory, where it is not the default."""
    return "" if state.root == Path("var").resolve() else f" --state {escape(str(state.root))}"


def program() -> str:
    """Return what a person types to run this program again: `charter`, or its path where that is not on PATH."""
    own = Path(sys.argv[0])
    if own.name != "charter" or shutil.which("charter") == str(own.resolve()):
        return "charter"
    return os.path.relpath(own) if own.is_relative_to(Path.cwd()) else str(own)


def status(state: State, found: dict[str, Any]) -> None:
    """Show every part, the rooms and the accounts."""
    console = Console(highlight=False, soft_wrap=True)
    if found["server_name"] is None:
        console.print(f"Nothing was ever started in {escape(str(state.root))}. Try: charter up --demo")
        return
    word = "[bold green]healthy[/]" if found["healthy"] else "[bold red]not healthy[/]"
    console.print(f"{escape(found['server_name'])} at {found['homeserver']}: {word}")
    table = Table("Part", "Pid", "Health", box=None)
    for row in found["processes"]:
        health = "[green]healthy[/]" if row["healthy"] else f"[red]{escape(row['reason'])}[/]"
        table.add_row(row["name"], str(row["pid"] or "-"), health)
    console.print(table)
    console.print(f"Policy  {found['policy'] or 'none in force'}")
    console.print(f"Ledger  {escape(found['ledger'])}")
    web = found["web"]
    if web["state"] != "none":
        console.print(f"Client  {found['client'] or web['state']} [dim]{escape(web['step'])}[/]")
    for name, room in found["rooms"].items():
        console.print(f"Room    {name}: {escape(room) if room else 'not made yet'}")
    _accounts(console, found)


def _accounts(console: Console, found: dict[str, Any]) -> None:
    if not found["accounts"]:
        return
    table = Table("User", "Password", "Name", "Groups", box=None, title="Accounts of the demo", title_justify="left")
    for row in found["accounts"]:
        table.add_row(row["user"], row["password"], row["name"], ", ".join(row["groups"]))
    console.print(table)
    console.print()
