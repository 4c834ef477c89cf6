"""`charter directory`: is the directory usable, who is in it, what would a reading change."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
import orjson

from synapse_modules._directory_changes import changes, policy_attributes, suspicious
from synapse_modules._ldap_connection import DirectoryError
from synapse_modules._ldap_directory import Directory
from synapse_modules._ldap_outcome import Outcome
from synapse_modules._site import Site, SiteError, open_site

if TYPE_CHECKING:
    from collections.abc import Iterator

    from charter.directory import Person

_WAIT = 60.0
_ADVICE = (
    (
        "certificate not trusted",
        "Give the authority that signed it as login.tls.ca_file, and the server's name as in the certificate.",
    ),
    (
        "StartTLS was refused",
        "The server offers no StartTLS: use an ldaps:// address, or give the server a certificate.",
    ),
    ("wrong DN or password", "Check login.bind_dn and the password in login.bind_password_file."),
    ("strongerAuthRequired", "The server wants encryption: use ldaps:// or start_tls."),
    ("confidentialityRequired", "The server wants encryption: use ldaps:// or start_tls."),
    ("noSuchObject", "Check login.base: the server has no such entry, or the service account may not see it."),
    ("insufficientAccessRights", "The service account may not read there: ask the directory's administrator."),
    (
        "timed out",
        "The server accepts connections but does not answer: look at the server, or raise login.operation_timeout.",
    ),
    ("Connection refused", "Nothing listens there: check address and port, and that the server runs."),
    ("Name or service not known", "The host name does not resolve: check login.servers and DNS."),
    ("filter refused", "Check login.people_filter and login.groups_filter."),
)
"""What an error contains -> what to do."""

_OPTIONS = (
    click.option(
        "--config",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="homeserver.yaml with Charter's block, or a YAML file with the block alone.",
    ),
    click.option(
        "--state",
        type=click.Path(file_okay=False, path_type=Path),
        default=Path("var"),
        show_default=True,
        help="State directory of `charter up`, where --config is not given.",
    ),
    click.option("--json", "as_json", is_flag=True, help="Print JSON."),
)


def _common(command: Any) -> Any:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


class _Group(click.Group):
    """Turns an installation that cannot be read into one sentence and exit code 2."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except SiteError as error:
            _fail(str(error))


@click.group(cls=_Group)
def directory() -> None:
    """Test, show and read the company's directory."""


@directory.command()
@_common
@click.option("--log-on", "user", help="Also try this user's password, which is asked for.")
def test(config: Path | None, state: Path, as_json: bool, user: str | None) -> None:
    """Check each server: connection, certificate, service account, people, groups."""
    site = open_site(config, state)
    steps = [_server_step(site, url) for url in site.login.servers]
    if any(step["ok"] for step in steps):
        steps.append(_reading_step(site))
        if user is not None:
            steps.append(_log_on_step(site, user))
    ok = all(step["ok"] for step in steps)
    if as_json:
        _print_json({"ok": ok, "steps": steps})
    else:
        for step in steps:
            click.echo(f"{'ok  ' if step['ok'] else 'FAIL'} {step['name']}: {step['text']}")
            if step["advice"]:
                click.echo(f"     {step['advice']}")
    sys.exit(0 if ok else 1)


@directory.command()
@_common
@click.argument("user")
def show(config: Path | None, state: Path, as_json: bool, user: str) -> None:
    """Show USER as the directory has them now, and as Synapse's snapshot has them."""
    site = open_site(config, state)
    with _opened(site) as opened:
        now = opened.read_person(user, _attributes(site))
    stored = site.snapshot()
    user_id = now.user_id if now else user if user.startswith("@") else f"@{user.lower()}:{site.server_name}"
    kept = None if stored is None else stored.people.get(user_id)
    if as_json:
        _print_json({"user": user_id, "directory": _plain(now), "snapshot": _plain(kept), "in_step": now == kept})
    else:
        click.echo(_described("In the directory", now))
        click.echo(_described("In Synapse's snapshot", kept))
        if now != kept:
            click.echo("They differ: `charter directory sync` reads again.")
    sys.exit(0 if now else 1)


@directory.command()
@_common
def diff(config: Path | None, state: Path, as_json: bool) -> None:
    """Show what a reading now would change, and change nothing."""
    site = open_site(config, state)
    with _opened(site) as opened:
        new = opened.read_all(_attributes(site))
    old = site.snapshot()
    difference = changes(old, new)
    doubt = suspicious(old, new)
    if as_json:
        lists = {"added": difference.added, "removed": difference.removed, "changed": difference.changed}
        _print_json(
            {**{key: list(users) for key, users in lists.items()}, "log_off": list(difference.leavers), "doubt": doubt}
        )
        return
    for sign, users in (("+", difference.added), ("-", difference.removed), ("~", difference.changed)):
        for user in users:
            click.echo(f"{sign} {user}")
    if difference.leavers:
        click.echo(f"{len(difference.leavers)} would be logged off: {', '.join(difference.leavers[:20])}")
    click.echo(f"{len(new.people)} people in the directory, {len(difference.changed)} changed")
    if doubt:
        click.echo(f"This reading would not be believed: {doubt}")


@directory.command()
@_common
@click.option("--accept-shrink", is_flag=True, help="Believe a reading in which half of the people are gone.")
def sync(config: Path | None, state: Path, as_json: bool, accept_shrink: bool) -> None:
    """Ask Synapse to read the directory now, and wait for the result."""
    site = open_site(config, state)
    asked = site.ask_for_sync(accept_shrink=accept_shrink)
    deadline = time.monotonic() + _WAIT
    while (status := site.sync_status()) is None or status["request"] < asked:
        if time.monotonic() > deadline:
            _fail(f"Synapse did not answer within {_WAIT:.0f} s: is it running, with directory_login loaded?")
        time.sleep(0.1)
    if as_json:
        _print_json(status)
    elif status["ok"]:
        click.echo(f"read: {status['people']} people")
    else:
        click.echo(f"FAIL {status['text']}\n     {_advice(status['text'])}".rstrip())
    sys.exit(0 if status["ok"] else 1)


def _server_step(site: Site, url: str) -> dict[str, Any]:
    one = dataclasses.replace(site, login=site.login.model_copy(update={"servers": (url,)}))
    try:
        with _connected(one) as opened:
            opened.connector.as_service(lambda _: None)
    except (DirectoryError, OSError, ValueError) as error:
        return _step(url, str(error))
    encrypted = url.startswith("ldaps") or site.login.start_tls
    how = "encrypted" if encrypted else "NOT encrypted"
    return _step(url, None, f"connected ({how}), bound as {site.login.bind_dn}")


def _reading_step(site: Site) -> dict[str, Any]:
    try:
        with _connected(site) as opened:
            snapshot = opened.read_all(_attributes(site))
    except (DirectoryError, OSError, ValueError) as error:
        return _step("people and groups", str(error))
    enabled = sum(1 for person in snapshot.people.values() if person.enabled)
    groups = {group for person in snapshot.people.values() for group in person.member_of}
    text = f"{len(snapshot.people)} people, {enabled} enabled, {len(groups)} groups with members"
    return _step("people and groups", None if snapshot.people else f"{text}: check base and people_filter", text)


def _log_on_step(site: Site, user: str) -> dict[str, Any]:
    password = click.prompt(f"Password of {user}", hide_input=True, err=True)
    with _connected(site) as opened:
        checked = opened.check(user, password)
    words = f"{checked.outcome.value} {f'({checked.detail})' if checked.detail else ''}".strip()
    return _step(f"log-on of {user}", None if checked.outcome is Outcome.OK else words, f"ok, as {checked.user_id}")


def _step(name: str, trouble: str | None, text: str = "") -> dict[str, Any]:
    return {"name": name, "ok": trouble is None, "text": trouble or text, "advice": _advice(trouble or "")}


def _advice(text: str) -> str:
    return next((advice for part, advice in _ADVICE if part in text), "")


@contextlib.contextmanager
def _connected(site: Site) -> Iterator[Directory]:
    """Yield the directory and close its connections at the end.

    Raises:
        OSError: the CA file cannot be read.
    """
    opened = Directory(site.login, site.server_name, time.time)
    try:
        yield opened
    finally:
        opened.connector.close_thread()


@contextlib.contextmanager
def _opened(site: Site) -> Iterator[Directory]:
    """Like `_connected`, for commands that can do nothing else when the directory fails."""
    try:
        with _connected(site) as opened:
            yield opened
    except (DirectoryError, OSError) as error:
        _fail(str(error))


def _attributes(site: Site) -> frozenset[str]:
    """The attributes that Synapse keeps; without a database those of the configuration alone."""
    policy = None if site.database is None else site.policy()
    return frozenset(site.login.attributes) | policy_attributes(policy)


def _plain(person: Person | None) -> dict[str, Any] | None:
    if person is None:
        return None
    return {
        "user": person.user_id,
        "dn": person.dn,
        "id": person.stable_id,
        "enabled": person.enabled,
        "groups": list(person.member_of),
        "attributes": {name: list(values) for name, values in person.attributes.items()},
    }


def _described(title: str, person: Person | None) -> str:
    if person is None:
        return f"{title}: nobody"
    lines = [f"{title}: {person.user_id}, {'enabled' if person.enabled else 'DISABLED'}", f"  dn: {person.dn}"]
    lines += [f"  group: {group}" for group in person.member_of]
    lines += [f"  {name}: {', '.join(values)}" for name, values in person.attributes.items()]
    return "\n".join(lines)


def _print_json(value: object) -> None:
    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def _fail(text: str) -> NoReturn:
    click.echo(f"error: {text}", err=True)
    advice = _advice(text)
    if advice:
        click.echo(advice, err=True)
    sys.exit(2)
