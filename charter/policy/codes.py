"""Every diagnostic code with what it means; the one list that the manual, SARIF and the tests walk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from charter.policy.diagnostics import Severity


@dataclass(frozen=True, slots=True)
class Code:
    """A kind of finding.

    Attributes:
        severity: an error keeps the policy from being used.
        summary: what is wrong and why it matters, one or two sentences.
    """

    severity: Severity
    summary: str


CODES: Final[Mapping[str, Code]] = {
    # Reading
    "no-policy": Code("error", "The directory holds no policy file."),
    "unreadable-file": Code("error", "A policy file cannot be opened."),
    "too-large": Code("error", "A file, or the number of files, is beyond what a policy may have."),
    "not-utf8": Code("error", "A file is not UTF-8 text."),
    "bad-character": Code("error", "A character that YAML does not allow, such as a control character."),
    "yaml-syntax": Code("error", "The file is not YAML; what follows in this file could not be read."),
    "yaml-alias": Code("error", "Anchors, aliases and merge keys are refused: a policy means what it looks like."),
    "yaml-tag": Code("error", "YAML tags are refused: values are read as they stand."),
    "several-documents": Code("error", "A file holds more than one YAML document."),
    "too-deep": Code("error", "Lists and mappings are nested more deeply than any policy needs."),
    "empty-file": Code("error", "A policy file says nothing; an emptied file could otherwise silently drop rules."),
    "empty-value": Code("error", "A key has no value, or `null`; it is not guessed what was meant."),
    "bad-key": Code("error", "A key is not a single word."),
    "duplicate-key": Code("error", "A key stands twice in one mapping; YAML would silently keep the last."),
    "defined-twice": Code("error", "Two files define the same single value."),
    # Shape
    "missing-key": Code("error", "A required key is missing."),
    "unknown-key": Code("error", "A key that the language does not know."),
    "wrong-type": Code("error", "A list, a mapping or a single value stands where something else is expected."),
    "bad-value": Code("error", "A value that its key does not take."),
    "bad-id": Code("error", "An id with characters that ids do not have."),
    "bad-feature": Code("error", "Not written as a feature or a wildcard of features."),
    "duplicate-id": Code("error", "An id is used twice; refusals and records name rules by id."),
    # Names
    "unknown-group": Code("error", "A name that is no group of the policy."),
    "reserved-id": Code("error", "A group may not be called `everyone`, which is built in."),
    "bad-user": Code("error", "A user id that is not written as `@name:server`."),
    "remote-user": Code("error", "A user of another server where only local people can stand."),
    "similar-server": Code("warning", "A user of a server whose name is almost this server's: probably a slip."),
    "unknown-feature": Code("error", "A name that is no feature of the catalogue."),
    "empty-wildcard": Code("warning", "A wildcard that stands for nothing."),
    "unknown-network": Code("error", "A gateway network that the policy does not define."),
    "bad-server": Code("error", "Not a Matrix server name, or this server where another is meant."),
    # Groups
    "empty-group": Code("warning", "Nobody is in the group, so rules for it apply to nobody."),
    "cyclic-group": Code("error", "A group includes itself, directly or through others."),
    "incomplete-selector": Code("error", "A directory selector that cannot select anybody."),
    "bad-dn": Code("error", "Not a distinguished name."),
    # Rules
    "expired-rule": Code("warning", "The rule's `until` is in the past."),
    "never-applies": Code("warning", "The rule applies to nobody."),
    "repeated-name": Code("warning", "A name stands twice in one list."),
    "empty-rule": Code("error", "A rule that says nothing, or can match nothing."),
    "shadowed-rule": Code("warning", "Everything that the grant allows is denied to the same people by other rules."),
    "barrier-overlap": Code("error", "The sides of a barrier are the same, or one is part of the other."),
    "barrier-shares-people": Code("warning", "People on both sides of a barrier could meet nobody of either side."),
    "overlapping-limits": Code("warning", "Two rules set the same thing for the same people; the stricter counts."),
    "no-type-left": Code("warning", "The content types of two limits have nothing in common: no file passes."),
    "too-short": Code("error", "A duration that would end sessions of people who are at work."),
    "no-effect": Code("warning", "A setting that another setting makes meaningless."),
    "hasty-directory": Code("warning", "A short outage of the directory would stop everybody."),
    "ambiguous-relay": Code("warning", "Two relays are named for the same people."),
    "gateway-closed": Code("error", "A gateway grant without addresses lets nothing through."),
    "gateway-one-way": Code("warning", "A gateway grant has addresses for only one of its directions."),
    "missing-file": Code("error", "A file that the policy names does not exist or lies outside the policy."),
    "overlapping-services": Code("warning", "Two application services, or a service and a person, share user ids."),
    "no-readers": Code("warning", "The policy has compliance settings but nobody reads the compliance rooms."),
    "no-approvers": Code("warning", "Something waits for approvals that nobody can give."),
}
