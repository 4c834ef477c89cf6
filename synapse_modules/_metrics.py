"""Prometheus metrics of the gate; they appear at ``/_synapse/metrics`` of each process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter, Histogram

if TYPE_CHECKING:
    from typing import Literal

DECISIONS = Counter("charter_decisions", "Judgements by feature and outcome", ["feature", "outcome"])
HOOK_FAILURES = Counter("charter_hook_failures", "Hooks that failed and gave their declared answer", ["hook"])
FALLBACKS = Counter("charter_interposition_fallbacks", "Interpositions that fell back to a public hook", ["name"])
JUDGE_SECONDS = Histogram(
    "charter_judge_seconds",
    "Time of one judgement",
    buckets=(1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 5e-3, 1e-2, 1e-1),
)

_children: dict[tuple[str, str], Counter] = {}


def decided(
    feature: str, outcome: Literal["allow", "replace", "reject", "withheld", "shadow", "exempt", "flood"]
) -> None:
    """Count a judgement; the label's child is looked up once (a look-up costs more than the judgement)."""
    key = (feature, outcome)
    child = _children.get(key)
    if child is None:
        child = _children[key] = DECISIONS.labels(feature, outcome)
    child.inc()
