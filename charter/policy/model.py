"""The policy language as frozen, strict models: the one schema of parser, manual and editors.

A field's ``description`` is the manual's text (unit, default, meaning). Values that carry a unit
(`10h`, `50MB`, `60/min`) are parsed by :mod:`charter.policy.values` and serialise back to the same
notation, so the canonical JSON of a policy is itself valid policy input.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from charter.policy.values import (
    ALL_DAY,
    EVERY_DAY,
    Days,
    Duration,
    HoursWindow,
    Integer,
    Network,
    Quota,
    Rate,
    RegexText,
    Size,
    TimeZoneName,
    Until,
    parse_integer,
)

RoomKind = Literal["direct", "private", "public", "external"]
"""Kinds of room; a room has the first that fits of external, public, direct, private."""

Stage = Literal["enforce", "shadow"]
Identifier = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
"""Rule, group and network ids: lower case letters, digits, ``.``, ``_`` and ``-``."""

Name = Annotated[str, Field(min_length=1, max_length=255)]
"""A group id, a full MXID, or the built-in ``everyone``."""

FeaturePattern = Annotated[str, Field(pattern=r"^(\*|[a-z][a-z0-9-]*(\.[a-z0-9._-]+)?(\.\*)?)$")]
"""A feature id, ``prefix.*`` or a bare ``*``; never a wildcard inside a word."""


class Model(BaseModel):
    """Base of every policy model: frozen, strict, and refusing unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=True)


class Organisation(Model):
    """Who the policy belongs to."""

    name: str = Field(min_length=1, description="The company's name, shown in refusals.")
    server_name: str = Field(min_length=1, description="The Matrix server name, the part after the colon of an MXID.")
    timezone: TimeZoneName = Field("UTC", description="IANA time zone in which dates and hours are read.")
    contact: str = Field(
        min_length=1, description="Whom refused people ask: a room alias, MXID, e-mail address or words."
    )


class DirectorySelector(Model):
    """People of the directory; the conditions given are combined with AND."""

    under: str | None = Field(None, description="DN: everybody in this subtree.")
    member_of: str | None = Field(None, description="DN of a directory group; nested membership counts.")
    attribute: str | None = Field(None, description="Name of an attribute of the person's entry; needs `equals`.")
    equals: str | None = Field(None, description="The attribute's value, compared without regard to case.")


class Group(Model):
    """A named set of people; `directory`, `users` and `groups` are combined with OR."""

    directory: DirectorySelector | None = Field(None, description="People selected from the directory.")
    users: tuple[str, ...] = Field((), description="Local MXIDs.")
    groups: tuple[Identifier, ...] = Field((), description="Other groups of this policy, included whole.")


class During(Model):
    """A recurring window of time; a window over midnight wraps into the next day."""

    days: Days = Field(EVERY_DAY, description="Days of the week: `mon-fri`, `sat,sun`, `mon`.")
    hours: HoursWindow = Field(ALL_DAY, description="From and until, `07:00-20:00`; the end is not included.")
    timezone: TimeZoneName | None = Field(None, description="IANA time zone; default: the organisation's.")


class Rule(Model):
    """What every rule shares."""

    id: Identifier = Field(description="Unique over all files; named in refusals and records.")
    reason: str | None = Field(None, description="Shown to the person who is refused.")
    until: Until | None = Field(
        None, description="Last day (ends at its end, organisation's time zone) or exact time with offset."
    )
    ticket: str | None = Field(None, description="Reference to the request behind the rule; shown in `why`.")
    stage: Stage = Field(
        "enforce", description='`shadow`: recorded as "would have", changes nothing. Default `enforce`.'
    )


class Grant(Rule):
    """Allows or denies features to people; the default is deny and any deny beats every allow."""

    to: tuple[Name, ...] = Field(min_length=1, description="Groups, MXIDs or `everyone`.")
    allow: tuple[FeaturePattern, ...] = Field((), description="Features given.")
    deny: tuple[FeaturePattern, ...] = Field((), description="Features taken away, whatever other rules allow.")
    except_: tuple[Name, ...] = Field(
        (), alias="except", description="Groups or MXIDs to whom this rule does not apply."
    )
    in_: tuple[RoomKind, ...] | None = Field(None, alias="in", description="Kinds of room; left out: all.")
    during: During | None = Field(None, description="When the rule applies; left out: always.")


class Limit(Rule):
    """Quantities; of several that match a person the strictest value of each setting counts."""

    to: tuple[Name, ...] = Field(min_length=1, description="Groups, MXIDs or `everyone`.")
    except_: tuple[Name, ...] = Field(
        (), alias="except", description="Groups or MXIDs to whom this rule does not apply."
    )
    max_file: Size | None = Field(None, description="Largest single upload, e.g. `50MB`.")
    upload_per_day: Size | None = Field(None, description="Upload volume in 24 hours, e.g. `500MB`.")
    types: tuple[str, ...] | None = Field(
        None, description="Allowed content types (`image/*`); of several limits the intersection."
    )
    messages: Rate | None = Field(None, description="Messages, e.g. `60/min`.")
    invites: Rate | None = Field(None, description="Invitations, e.g. `20/h`.")
    rooms: Rate | None = Field(None, description="Rooms created, e.g. `10/day`.")
    call_minutes: Quota | None = Field(None, description="Minutes of calls, e.g. `120/day`.")
    concurrent_calls: Integer | None = Field(None, ge=0, description="Calls at the same time.")


class Barrier(Rule):
    """An ethical wall: members of the named groups must not meet."""

    between: tuple[Name, ...] = Field(min_length=2, max_length=2, description="The two sides.")
    except_: tuple[Name, ...] = Field((), alias="except", description="Groups or MXIDs who may meet both sides.")


class DirectoryProfile(Model):
    """Profile fields that come from the directory."""

    display_name: str | None = Field(None, description="Attribute that holds the display name.")
    email: str | None = Field(None, description="Attribute that holds the e-mail address.")
    avatar: str | None = Field(None, description="Attribute that holds the photograph.")
    locked: tuple[Literal["display_name", "email", "avatar"], ...] = Field(
        (), description="Fields that people may not change themselves."
    )


class DirectoryPolicy(Model):
    """How old the directory snapshot may be, and what then."""

    max_age: Duration = Field(86_400, description="Oldest acceptable snapshot. Default `24h`.")
    then: Literal["alert", "no_logon", "close"] = Field(
        "no_logon", description="What happens when it is older. Default `no_logon`."
    )
    profile: DirectoryProfile | None = Field(None, description="Profile fields taken from the directory.")


class SessionKinds(Model):
    """How many sessions of each kind of client."""

    web: Integer | None = Field(None, ge=0, description="Browser sessions.")
    desktop: Integer | None = Field(None, ge=0, description="Desktop sessions.")
    mobile: Integer | None = Field(None, ge=0, description="Telephone and tablet sessions.")


class SessionRule(Rule):
    """How long and from where a log-on is good; the strictest value of each setting counts."""

    to: tuple[Name, ...] = Field(min_length=1, description="Groups, MXIDs or `everyone`.")
    except_: tuple[Name, ...] = Field(
        (), alias="except", description="Groups or MXIDs to whom this rule does not apply."
    )
    lifetime: Duration | None = Field(None, description="Absolute life of a log-on, e.g. `10h`.")
    ends_when_away: Duration | None = Field(
        None, description="A session without any request for so long ends; at least `1m`."
    )
    max_sessions: Integer | None = Field(None, ge=1, description="Sessions at the same time.")
    overflow: Literal["end_oldest", "refuse_newest"] | None = Field(
        None, description="What happens above `max_sessions`."
    )
    hours: HoursWindow | None = Field(None, description="Log-on only during these hours.")
    networks: tuple[Network, ...] | None = Field(None, description="Log-on only from these networks (CIDR).")
    per_kind: SessionKinds | None = Field(None, description="Sessions of each kind of client.")


class Membership(Rule):
    """A directory group kept in step with a room."""

    group: Identifier = Field(description="The policy group.")
    room: str = Field(pattern=r"^[#!].+", description="Room alias or id.")
    power_level: Integer = Field(0, description="Power level of the members. Default 0.")
    except_: tuple[Name, ...] = Field((), alias="except", description="Groups or MXIDs left alone.")


class FederationServer(Rule):
    """Another server that some people may talk to."""

    server: str = Field(min_length=1, description="The other server's name.")
    to: tuple[Name, ...] = Field(min_length=1, description="Groups, MXIDs or `everyone`.")
    except_: tuple[Name, ...] = Field(
        (), alias="except", description="Groups or MXIDs to whom this rule does not apply."
    )
    allow: tuple[FeaturePattern, ...] = Field(min_length=1, description="Features allowed in rooms with this server.")


class Federation(Model):
    """Other Matrix servers; closed unless a server is named."""

    servers: tuple[FederationServer, ...] = Field((), description="The servers, each for some people and features.")


class Relay(Rule):
    """Which TURN relay carries whose calls."""

    to: tuple[Name, ...] = Field(min_length=1, description="Groups, MXIDs or `everyone`.")
    except_: tuple[Name, ...] = Field(
        (), alias="except", description="Groups or MXIDs to whom this rule does not apply."
    )
    turn: Identifier = Field(description="Name of a relay of the deployment's configuration.")


class Service(Rule):
    """Another application service: what its users may do."""

    users: RegexText = Field(description="Regular expression over whole MXIDs, as in the registration's namespace.")
    allow: tuple[FeaturePattern, ...] = Field(min_length=1, description="Features of these users.")


class Keep(Model):
    """How long the records of some people are kept."""

    to: tuple[Name, ...] = Field(min_length=1, description="Groups, MXIDs or `everyone`.")
    for_: Duration = Field(alias="for", description="How long, e.g. `7y`.")


class Journal(Model):
    """The compliance journal."""

    encryption: Literal["forbidden", "journaled"] = Field(
        "forbidden", description="Encrypted rooms: forbidden, or only with the scribe inside. Default `forbidden`."
    )
    on_failure: Literal["block", "alert"] = Field(
        "alert",
        description="When the journal cannot keep up: block new messages or only sound the alarm. Default `alert`.",
    )
    max_lag: Duration = Field(60, description="How far the journal may fall behind. Default `60s`.")
    layout: Literal["rooms", "threads", "digest"] = Field(
        "rooms", description="How the journal room shows conversations. Default `rooms`."
    )
    keep: tuple[Keep, ...] = Field((), description="Retention by people; of several the longest.")


class GatewayNetwork(Model):
    """An outside network; addresses and secrets live in the bots' configuration."""

    id: Identifier = Field(description="Names the network in grants and in the feature `gateway.<id>`.")
    kind: Literal["xmpp", "sip", "email", "matrix", "irc"] = Field(description="The protocol.")


class GatewayGrant(Rule):
    """Who may exchange what with which addresses of a network."""

    to: tuple[Name, ...] = Field(min_length=1, description="Groups, MXIDs or `everyone`.")
    except_: tuple[Name, ...] = Field(
        (), alias="except", description="Groups or MXIDs to whom this rule does not apply."
    )
    network: Identifier = Field(description="A network of this policy.")
    destinations: tuple[str, ...] = Field((), description="Outside addresses, `*` as wildcard.")
    senders: tuple[str, ...] = Field((), description="Outside senders accepted inbound, `*` as wildcard.")
    carry: tuple[Literal["text", "edit", "delete", "reaction", "file", "call"], ...] = Field(
        ("text",), description="What may cross. Default `[text]`."
    )
    directions: tuple[Literal["in", "out"], ...] = Field(("in", "out"), description="Directions. Default both.")
    rate: Rate | None = Field(None, description="Messages, e.g. `60/h`.")
    approvals: Integer = Field(0, ge=0, le=9, description="How many approvers each message needs. Default 0.")
    during: During | None = Field(None, description="When the grant applies; left out: always.")


class DlpRule(Rule):
    """Data-loss prevention at the gateway; the conditions given are combined with OR."""

    match: RegexText | None = Field(None, description="Regular expression over the normalised text.")
    types: tuple[str, ...] | None = Field(None, description="Content types of files.")
    larger_than: Size | None = Field(None, description="Files above this size.")
    sha256_in: str | None = Field(
        None, description="File with one hex SHA-256 a line, relative to the policy directory."
    )
    on: tuple[Literal["in", "out"], ...] = Field(("in", "out"), description="Directions. Default both.")
    then: Literal["deny", "hold", "alert"] = Field(description="What happens on a match.")


class Gateway(Model):
    """The gate to outside networks."""

    networks: tuple[GatewayNetwork, ...] = Field((), description="The networks.")
    grants: tuple[GatewayGrant, ...] = Field((), description="Who may cross, where to, with what.")
    dlp: tuple[DlpRule, ...] = Field((), description="What must not cross.")


class ApprovalsMayGrant(Model):
    """Bounds of what approvals in chat can add."""

    features: tuple[FeaturePattern, ...] = Field(min_length=1, description="Features that may be granted.")
    at_most: Duration = Field(description="The longest such grant, e.g. `30d`.")


class Compliance(Model):
    """Who reads, who approves, who is exempt."""

    readers: tuple[Name, ...] = Field((), description="Readers of the compliance rooms.")
    approvers: tuple[Name, ...] = Field((), description="Who decides requests in the approvals room.")
    exempt_admins: tuple[str, ...] = Field(
        (), description="Server admins whom no rule judges; each use raises an alarm."
    )
    approvals_may_grant: ApprovalsMayGrant | None = Field(
        None, description="Bounds of grants approved in chat; left out: none."
    )


class Refusals(Model):
    """What a refused message looks like."""

    message: Literal["replace", "reject"] = Field(
        "replace",
        description="`replace`: the room shows a notice in its place and keeps working; `reject`: a plain 403. Default `replace`.",
    )


class Policy(Model):
    """A whole policy, merged from every file of its directory."""

    version: Annotated[Literal[1], BeforeValidator(parse_integer)] = Field(description="Version of the language; 1.")
    organisation: Organisation = Field(description="Who the policy belongs to.")
    groups: dict[Identifier, Group] = Field(default_factory=dict, description="Named sets of people.")
    grants: tuple[Grant, ...] = Field((), description="Who may use what; default deny.")
    limits: tuple[Limit, ...] = Field((), description="Quantities.")
    barriers: tuple[Barrier, ...] = Field((), description="Groups that must not meet.")
    directory: DirectoryPolicy = Field(
        default_factory=DirectoryPolicy, description="Age of the directory snapshot, profile fields."
    )
    sessions: tuple[SessionRule, ...] = Field((), description="Log-ons.")
    memberships: tuple[Membership, ...] = Field((), description="Groups kept in step with rooms.")
    federation: Federation = Field(default_factory=Federation, description="Other Matrix servers.")
    relays: tuple[Relay, ...] = Field((), description="TURN relays.")
    services: tuple[Service, ...] = Field((), description="Other application services.")
    journal: Journal = Field(default_factory=Journal, description="The compliance journal.")
    gateway: Gateway = Field(default_factory=Gateway, description="Outside networks.")
    compliance: Compliance = Field(default_factory=Compliance, description="Readers, approvers, exemptions.")
    refusals: Refusals = Field(default_factory=Refusals, description="What a refused message looks like.")
