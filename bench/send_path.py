"""Messages per second through Synapse: stock, with Charter, and with the peers, alternating in one run.

Every server has rooms of the same sizes; each round sends a few messages to each server in turn, so
that a machine whose speed drifts slows all of them alike. The ratio to stock is taken round by round.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import http.server
import itertools
import json
import shutil
import statistics
import sys
import tempfile
import threading
import time
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from bench import tables
from bench._charter_server import charter_gate, govern
from tests.harness.synapse import Client, Homeserver

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZES = (10, 1000, 5000)
STOCK = "stock"
BOTS = ("charter-scribe", "charter-steward")
"""Every server knows the same application services, so that only the modules differ."""


@dataclass
class Arm:
    """One server under test with a kept-alive connection of one sender."""

    name: str
    server: Homeserver
    client: Client
    rooms: dict[int, str]
    counter: Iterator[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        """Open the connection."""
        address = urllib.parse.urlparse(self.server.base_url)
        self.connection = http.client.HTTPConnection(address.hostname or "", address.port)

    def processor(self) -> float:
        """Return the processor seconds that the server has used."""
        used = psutil.Process(self.server.pid()).cpu_times()
        return float(used.user + used.system)

    def send(self, size: int) -> float:
        """Send one message; return milliseconds until the acknowledgement."""
        room = urllib.parse.quote(self.rooms[size], safe="")
        path = f"/_matrix/client/v3/rooms/{room}/send/m.room.message/b{next(self.counter)}"
        body = json.dumps({"msgtype": "m.text", "body": "the quarterly figures are in the usual place"})
        headers = {"Authorization": f"Bearer {self.client.token}", "Content-Type": "application/json"}
        start = time.perf_counter()
        self.connection.request("PUT", path, body, headers)
        answer = self.connection.getresponse()
        answer.read()
        assert answer.status == 200, (self.name, answer.status)
        return (time.perf_counter() - start) * 1000


class _AllowAll(http.server.BaseHTTPRequestHandler):
    """The policy server that synapse-http-antispam asks; allows everything as fast as it can."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one segment, or the peer waits for a delayed acknowledgement

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_GET = do_POST  # noqa: N815 - the library's name

    def log_message(self, *_args: Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def _policy_server() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _AllowAll)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@dataclass(frozen=True)
class Template:
    """A server filled once by a stock Synapse; every arm starts from a copy of it."""

    folder: Path
    token: str
    rooms: dict[int, str]

    def arm(self, name: str, server: Homeserver) -> Arm:
        """Start `server` on a copy of the template's database."""
        for file in ("homeserver.db", "signing.key"):
            shutil.copy(self.folder / file, server.folder / file)
        server.start()
        return Arm(name, server, Client(server.base_url, self.token), self.rooms)


def _template(folder: Path, sizes: tuple[int, ...]) -> Template:
    server = Homeserver(folder, bots=BOTS)
    server.start()
    try:
        ada, scribe = server.user("ada"), server.bot(BOTS[0])
        rooms = {}
        for size in sizes:
            answer = ada.create_room(invite=[scribe.user_id])  # on every server, so that only the modules differ
            assert answer.status == 200, answer
            rooms[size] = answer.body["room_id"]
            assert scribe.join(rooms[size]).status == 200
            for number in range(size - 9):  # one by one: a single createRoom costs the square of its size
                answer = ada.state(rooms[size], "org.example.bench", {"n": number}, str(number))
                assert answer.status == 200, answer
    finally:
        server.stop()
    return Template(folder, ada.token or "", rooms)


@contextlib.contextmanager
def _arms(folder: Path, sizes: tuple[int, ...], *, peers: bool) -> Iterator[list[Arm]]:
    template = _template(folder / "template", sizes)
    with _policy_server() as url, contextlib.ExitStack() as stack:
        antispam = {
            "module": "synapse_http_antispam.HTTPAntispam",
            "config": {"base_url": url, "enabled_callbacks": ["check_event_for_spam"]},
        }
        checker = {
            "module": "bench._peers_synapse.InviteCheckerPeer",
            "config": {
                "federation_list_url": url,
                "gematik_ca_baseurl": url,
                "tim-type": "pro",
                "allowed_room_versions": ["10", "11"],
                "room_scan_run_interval": 0,
            },
        }
        arms = []
        published = [("synapse-http-antispam", [antispam]), ("synapse-invite-checker", [checker])] if peers else []
        for name, modules in [(STOCK, []), *published]:
            server = Homeserver(folder / name, modules=modules, bots=BOTS)
            stack.callback(server.stop)
            arms.append(template.arm(name, server))
        gate = charter_gate(folder / "charter")
        stack.callback(gate.homeserver.stop)
        arms.insert(1, template.arm("charter", gate.homeserver))
        govern(gate)
        yield arms


@dataclass(frozen=True)
class Burst:
    """A few messages to one server: milliseconds of each, and the server's processor seconds for all."""

    times: list[float]
    processor: float


def _burst(arm: Arm, size: int, count: int) -> Burst:
    before = arm.processor()
    times = [arm.send(size) for _ in range(count)]
    return Burst(times, arm.processor() - before)


def measure(arms: list[Arm], sizes: tuple[int, ...], rounds: int, burst: int) -> list[dict[str, Any]]:
    """Send in alternation; return one row for each arm and size."""
    found: dict[tuple[str, int], list[Burst]] = {}
    for number, size in itertools.product(range(rounds), sizes):
        for arm in arms[number % len(arms) :] + arms[: number % len(arms)]:
            found.setdefault((arm.name, size), []).append(_burst(arm, size, burst))
    return [
        _row(name, size, bursts, found[STOCK, size])
        for (name, size), bursts in sorted(found.items(), key=lambda item: (item[0][1], item[0][0] != STOCK))
    ]


def _row(name: str, size: int, bursts: list[Burst], stock: list[Burst]) -> dict[str, Any]:
    own = [value for each in bursts for value in each.times]
    other = [value for each in stock for value in each.times]
    spent, stock_spent = sum(each.processor for each in bursts), sum(each.processor for each in stock)
    rounds = [sum(s.times) / sum(o.times) for s, o in zip(stock, bursts, strict=True)]
    return {
        "server": name,
        "state events": size,
        "messages": len(own),
        "p50 ms": statistics.median(own),
        "p99 ms": statistics.quantiles(own, n=100)[98],
        "CPU ms/message": 1000 * spent / len(own),
        "messages/s": 1000 / statistics.fmean(own),
        "rate / stock, by p50": statistics.median(other) / statistics.median(own),
        "by rounds": statistics.median(rounds),
        "by CPU": stock_spent / spent,
    }


def main(argv: list[str] | None = None) -> int:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--burst", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="few rounds, small rooms")
    parser.add_argument("--only-charter", action="store_true", help="stock and Charter alone, without the peers")
    options = parser.parse_args(argv)
    sizes = SIZES[:1] if options.quick else SIZES
    rounds = 4 if options.quick else options.rounds
    with tempfile.TemporaryDirectory() as folder, _arms(Path(folder), sizes, peers=not options.only_charter) as arms:
        measure(arms, sizes, 2, options.burst)
        rows = measure(arms, sizes, rounds, options.burst)
    tables.show("Send path (one sender, kept-alive connection, SQLite)", rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
