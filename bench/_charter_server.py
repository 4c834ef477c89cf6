"""The arm with all of Charter's modules, and a policy like a company's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.harness.gate import Gate

if TYPE_CHECKING:
    from pathlib import Path

POLICY = """
version: 1
organisation: {name: ACME, server_name: acme.example, contact: "#help:acme.example", timezone: Europe/Berlin}
groups:
  traders: {users: ["@ada:acme.example"]}
  research: {users: ["@erik:acme.example"]}
grants:
  - {id: everyone-chats, to: [everyone], allow: [chat.*, room.*, file.*]}
  - {id: in-hours, to: [traders], allow: [call.voice], during: {days: mon-fri, hours: "07:00-20:00"}}
limits:
  - {id: usual, to: [everyone], max_file: 50MB, messages: 100000/min}
barriers:
  - {id: wall, between: [research, traders]}
"""


def charter_gate(folder: Path) -> Gate:
    """Return a server with Charter's modules, not yet started."""
    gate = Gate(folder)
    server = gate.homeserver
    config = server.modules[0]["config"]
    del config["poll_interval"]  # the tests' is short; measured is the default
    server.modules = [{"module": "synapse_modules.Charter", "config": config}]
    server.write()
    return gate


def govern(gate: Gate) -> None:
    """Register the bots and apply the policy."""
    gate.scribe = gate.homeserver.bot("charter-scribe")
    gate.steward = gate.homeserver.bot("charter-steward")
    gate.apply(POLICY)
