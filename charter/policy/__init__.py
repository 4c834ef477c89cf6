"""The policy language: YAML files to a checked :class:`PolicySet`."""

from charter.policy.diagnostics import Diagnostic, Span
from charter.policy.parse import LoadResult, load, load_files
from charter.policy.policy_set import PolicySet, SourcePlace

__all__ = ["Diagnostic", "LoadResult", "PolicySet", "SourcePlace", "Span", "load", "load_files"]
