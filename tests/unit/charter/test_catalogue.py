from __future__ import annotations

from pathlib import Path

import pytest

from charter import catalogue_reference, wire
from charter.catalogue import BY_ID, FEATURES, UNKNOWN, expand, expand_all, names, summary

ROOT = Path(__file__).parents[3]

EVERY = [
    "chat.text",
    "chat.reaction",
    "chat.edit",
    "chat.delete",
    "chat.thread",
    "chat.sticker",
    "chat.poll",
    "chat.location",
    "file.image",
    "file.video",
    "file.audio",
    "file.voice",
    "file.other",
    "file.download",
    "call.voice",
    "call.video",
    "call.screen",
    "call.group",
    "room.create",
    "room.public",
    "room.direct",
    "room.invite",
    "room.join",
    "room.knock",
    "room.alias",
    "room.publish",
    "room.encrypt",
    "room.settings",
    "room.moderate",
    "room.widget",
    "room.upgrade",
    "room.pin",
    "room.space",
    "profile.name",
    "profile.avatar",
    "profile.other",
    "presence",
    "directory.search",
    "device.push",
    "device.message",
    "external.invite",
    "external.join",
    "external.be-invited",
    "unknown",
]


def test_the_catalogue_holds_exactly_the_features_of_the_design() -> None:
    """No word of the language is missing, doubled or extra."""
    assert [feature.id for feature in FEATURES] == EVERY


@pytest.mark.parametrize("pattern", ["*", "chat.*", "gateway.*", "external.*"])
def test_wildcards_never_include_unknown(pattern: str) -> None:
    """`unknown` must be named."""
    assert UNKNOWN not in expand(pattern, ("xmpp",))


def test_expand_names_what_a_pattern_means() -> None:
    """Prefixes end at a dot; networks are features; nonsense names nothing."""
    assert expand("call.*") == ("call.voice", "call.video", "call.screen", "call.group")
    assert expand("gateway.*", ("xmpp", "sip")) == ("gateway.xmpp", "gateway.sip")
    assert expand("unknown") == ("unknown",)
    assert len(EVERY) - 1 + 1 == len(expand("*", ("xmpp",)))
    assert () == expand("call") == expand("ca.*") == expand("gateway.xmpp") == expand("presence.*")
    assert frozenset({"presence", "call.voice"}) == expand_all(["presence", "call.voice", "presence"])


def test_every_table_of_the_wire_leads_to_a_feature_and_is_documented() -> None:
    """A row of a table names a feature of the catalogue, and the catalogue names the row's event type."""
    documented = {name.partition("/")[2] or name for feature in FEATURES for name in feature.wire}
    documented |= {name.split(" ", 1)[0] for feature in FEATURES for name in feature.wire}
    for table in (wire.MESSAGES, wire.STATE, wire.MEDIA_MESSAGES):
        for event_type, feature in table.items():
            assert feature in BY_ID
            if not event_type.startswith(("m.key.verification.", "org.matrix.msc1767.", "org.matrix.call.")):
                assert event_type in documented, event_type


def test_summary_is_total() -> None:
    """Networks and words that are no feature have one too."""
    assert summary("chat.text") == "send text messages"
    assert summary("gateway.sip") == "exchange messages with the network sip"
    assert summary("nonsense") == "nonsense"
    assert names(("a",))[-2:] == ("gateway.a", UNKNOWN)


def test_the_manual_page_is_up_to_date() -> None:
    """docs/reference/features.md is what the catalogue generates."""
    page = ROOT / "docs/reference/features.md"
    assert catalogue_reference.reference() == page.read_text(encoding="utf-8")


def test_the_page_can_be_written(tmp_path: Path) -> None:
    """The module writes where it is told."""
    catalogue_reference.main([str(tmp_path / "new" / "features.md")])
    assert (tmp_path / "new" / "features.md").read_text(encoding="utf-8").startswith("# Features")
