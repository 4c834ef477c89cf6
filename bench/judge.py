"""How fast the judge is, beside Cedar in the same run: ``python -m bench.judge [--quick] [--markdown]``.

Numbers of a shared machine: trust ratios within one run, not absolute values between runs.
"""

from __future__ import annotations

import argparse
import gc
import random
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench._peers_policy import NOW, Cedar, Company, company, naive
from charter.bundle import Bundle, sign, verify
from charter.classify import classify_event
from charter.facts import EventFacts, RoomFacts
from charter.judge import compile_policy, judge
from charter.people import Membership

if TYPE_CHECKING:
    from charter.compiled import Compiled

Row = list[str]
Calls = Sequence[Callable[[], object]]


def each(calls: Calls) -> tuple[float, float, float]:
    """Return mean, median and 99th percentile in µs of single calls, less the clock's own cost."""
    clock = time.perf_counter_ns
    overhead = min(-clock() + clock() for _ in range(1000))
    taken = []
    gc.disable()
    for call in calls:
        started = clock()
        call()
        taken.append((clock() - started - overhead) / 1000)
    gc.enable()
    taken.sort()
    return statistics.fmean(taken), taken[len(taken) // 2], taken[int(len(taken) * 0.99)]


def decisions(made: Company, compiled: Compiled, number: int) -> tuple[Calls, Calls]:
    """Return calls that miss the cache, and the same calls that hit it."""
    asked = [made.questions[n % len(made.questions)] for n in range(number)]
    misses = [partial(compiled.decide_uncached, user, feature, "private", NOW) for user, feature in asked]
    hits = [partial(compiled.decide, user, feature, "private", NOW) for user, feature in asked]
    return misses, hits


def agreement(made: Company, compiled: Compiled, cedar: Cedar, number: int) -> str:
    """Return how many of some decisions are the same for all three."""
    same = 0
    for user, feature in made.questions[:number]:
        cedar.warm(user)
        expected = naive(made, user, feature)
        same += expected == compiled.decide(user, feature, "private", NOW).allowed == cedar.decide(user, feature)
    return f"{same}/{number}"


def memory(made: Company) -> float:
    """Return bytes for each person of the table of groups, without the ids (which others hold too)."""
    Membership(made.policy_set.policy, made.snapshot)
    gc.collect()
    tracemalloc.start()
    membership = Membership(made.policy_set.policy, made.snapshot)
    gc.collect()
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return taken / len(membership.table)


def load_time(made: Company) -> tuple[float, float]:
    """Return seconds to read and verify a signed bundle, and to compile it."""
    key = Ed25519PrivateKey.generate()
    bundle = sign(
        made.policy_set, key, "admin", sequence=1, previous="", stage="enforce", created_at=int(NOW)
    ).to_json()
    started = time.perf_counter()
    policy_set = verify(Bundle.from_json(bundle), {"admin": key.public_key()})
    verified = time.perf_counter()
    compile_policy(policy_set, made.snapshot)
    return verified - started, time.perf_counter() - verified


def row(rules: int, people: int, questions: int, peer_questions: int) -> Row:
    """Measure one size."""
    made = company(rules, people, questions)
    compiled = compile_policy(made.policy_set, made.snapshot)
    cedar = Cedar(made)
    checked = agreement(made, compiled, cedar, min(200, peer_questions))
    misses, hits = decisions(made, compiled, questions)
    each(misses[:2000])
    _, miss, miss99 = each(misses)
    each(hits)
    _, hit, hit99 = each(hits)
    asked = made.questions[:peer_questions]
    for user, _ in asked:
        cedar.warm(user)
    _, peer, _ = each([partial(cedar.decide, user, feature) for user, feature in asked])
    verified, compile_seconds = load_time(made)
    return [
        f"{rules:,}", f"{people:,}", f"{hit:.2f} / {hit99:.2f}", f"{miss:.2f} / {miss99:.2f}", f"{peer:.0f}",
        f"{peer / miss:.0f}x", f"{peer / hit:.0f}x", checked, f"{memory(made):.0f}", f"{verified:.2f} + {compile_seconds:.2f}",
    ]  # fmt: skip


SDP = (
    "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"
    + "a=rtpmap:111 opus/48000/2\r\n" * 50
)
EVENTS = {
    "text": EventFacts("m.room.message", {"msgtype": "m.text", "body": "Good morning"}),
    "edit": EventFacts(
        "m.room.message",
        {
            "msgtype": "m.text",
            "body": "* x",
            "m.new_content": {"msgtype": "m.text", "body": "x"},
            "m.relates_to": {"rel_type": "m.replace", "event_id": "$e"},
        },
    ),
    "image": EventFacts(
        "m.room.message", {"msgtype": "m.image", "body": "a.png", "url": "mxc://a/b", "info": {"mimetype": "image/png"}}
    ),
    "file": EventFacts(
        "m.room.message", {"msgtype": "m.file", "body": "a.pdf", "url": "mxc://a/b"}, room=RoomFacts("!r", "direct")
    ),
    "call, SDP of 3 kB": EventFacts(
        "m.call.invite",
        {
            "call_id": "1",
            "version": "1",
            "offer": {"sdp": SDP + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n" + "a=rtcp-fb:96 nack\r\n" * 90},
        },
    ),
}


def event_rows(number: int) -> list[Row]:
    """Measure classification, and classification with judgement."""
    made = company(1000, 1000, 1000)
    compiled = compile_policy(made.policy_set, made.snapshot)
    user = made.questions[0][0]
    rows = []
    for name, facts in EVENTS.items():
        _, classify, _ = each([partial(classify_event, facts, user)] * number)
        _, both, both99 = each([partial(judge, compiled, user, facts, NOW)] * number)
        rows.append([name, f"{classify:.2f}", f"{both:.2f} / {both99:.2f}"])
    return rows


def show(head: Row, rows: list[Row], *, markdown: bool) -> None:
    """Print a table."""
    widths = [max(len(line[n]) for line in (head, *rows)) for n in range(len(head))]
    join, edge = (" | ", "| ") if markdown else ("  ", "")
    for index, line in enumerate([head, *rows]):
        print(
            (
                edge
                + join.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
                + (" |" if markdown else "")
            ).rstrip()
        )
        if index == 0 and markdown:
            print("|" + "|".join("---" for _ in head) + "|")
    print()


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, a few seconds")
    parser.add_argument("--markdown", action="store_true", help="print tables for RESULTS.md")
    options = parser.parse_args(arguments)
    random.seed(1)
    sizes = (
        [(10, 100), (1_000, 1_000)]
        if options.quick
        else [(10, 100), (100, 1_000), (1_000, 1_000), (1_000, 100_000), (10_000, 100_000)]
    )
    questions, peer_questions = (5_000, 200) if options.quick else (50_000, 500)
    head = [
        "rules",
        "people",
        "hit µs p50/p99",
        "miss µs p50/p99",
        "Cedar µs p50",
        "Cedar/miss",
        "Cedar/hit",
        "agree",
        "B/person",
        "load s (verify + compile)",
    ]
    show(head, [row(rules, people, questions, peer_questions) for rules, people in sizes], markdown=options.markdown)
    show(
        ["event", "classify µs", "classify + judge µs p50/p99"],
        event_rows(2_000 if options.quick else 20_000),
        markdown=options.markdown,
    )


if __name__ == "__main__":
    main()
