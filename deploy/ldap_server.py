"""A small LDAP directory served from an LDIF file, for demonstrations and tests: `python -m deploy.ldap_server`.

Loopback only, no TLS. Nobody reads anything without logging on, and passwords are never handed out. The file is read
again when it changes, so a demonstration's administrator edits it and sees the effect; a file that does not parse
leaves the last good data in place and says so.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import hmac
import ipaddress
import sys
import uuid
from base64 import b64decode
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

from ldaptor import interfaces
from ldaptor.inmemory import ReadOnlyInMemoryLDAPEntry
from ldaptor.protocols import pureldap
from ldaptor.protocols.ldap import distinguishedname, ldaperrors
from ldaptor.protocols.ldap.ldapserver import LDAPServer
from twisted.internet import defer, protocol, task
from twisted.internet.error import CannotListenError
from twisted.python.components import registerAdapter

if TYPE_CHECKING:
    from collections.abc import Callable

RELOAD_EVERY: Final = 0.5
_SECRET: Final = frozenset({b"userpassword"})
_PPOLICY: Final = b"1.3.6.1.4.1.42.2.27.8.5.1"
_FOREVER_LOCKED: Final = b"000001010000Z"
_LOCKED: Final = b"\x30\x03\x81\x01\x01"
_MUST_CHANGE: Final = b"\x30\x03\x81\x01\x02"
_SALTED: Final = {b"{ssha}": ("sha1", 20), b"{ssha256}": ("sha256", 32), b"{ssha512}": ("sha512", 64)}


class LdifError(Exception):
    """The LDIF cannot be served; `path` and `reason` say why."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


def _records(text: str) -> list[tuple[Any, dict[bytes, list[bytes]]]]:
    """Read LDIF content records (RFC 2849); ldaptor's reader stumbles over comments and blank lines.

    Raises:
        ValueError: with the line, counted from 1.
    """
    records: list[tuple[Any, dict[bytes, list[bytes]]]] = []
    values: dict[bytes, list[bytes]] | None = None
    for number, line in _logical_lines(text):
        if not line:
            values = None
            continue
        name, value = _pair(number, line)
        if name.lower() == b"version" and values is None:
            continue
        if values is None:
            if name.lower() != b"dn":
                msg = f"line {number}: an entry starts with dn:"
                raise ValueError(msg)
            values = {}
            records.append((distinguishedname.DistinguishedName(value.decode()), values))
        else:
            values.setdefault(name, []).append(value)
    return records


def _logical_lines(text: str) -> list[tuple[int, str]]:
    """Return lines with their numbers: continuations joined, comments left out, blank ones as ""."""
    lines: list[tuple[int, str]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith(" ") and lines and lines[-1][1]:
            lines[-1] = (lines[-1][0], lines[-1][1] + line[1:])
        else:
            lines.append((number, line.rstrip("\r") if line.strip() else ""))
    return [(number, line) for number, line in lines if not line.startswith("#")]


def _pair(number: int, line: str) -> tuple[bytes, bytes]:
    name, colon, rest = line.partition(":")
    if not colon or not name or rest.startswith("<"):
        msg = f"line {number}: expected `name: value` or `name:: base64`"
        raise ValueError(msg)
    if not rest.startswith(":"):
        return name.strip().encode(), rest.strip().encode()
    try:
        return name.strip().encode(), b64decode(rest[1:].strip(), validate=True)
    except ValueError as error:
        msg = f"line {number}: not base64"
        raise ValueError(msg) from error


def _octets(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def read_tree(path: Path) -> ReadOnlyInMemoryLDAPEntry:
    """Return the suffix entry of an LDIF, with everything below it.

    Raises:
        LdifError: unreadable, malformed, or entries without a parent.
    """
    try:
        read = _records(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, distinguishedname.InvalidRelativeDistinguishedName) as error:
        raise LdifError(path, str(error) or type(error).__name__) from error
    entries = sorted(read, key=lambda item: len(item[0].split()))
    if not entries:
        raise LdifError(path, "no entries")
    root_dn, root_values = entries[0]
    root = ReadOnlyInMemoryLDAPEntry(dn=root_dn, attributes=_with_id(root_dn, root_values))
    known = {_key(root_dn): root}
    for dn, values in entries[1:]:
        parent = known.get(_key(dn.up()))
        if parent is None:
            raise LdifError(path, f"{dn.getText()} has no parent entry")
        try:
            child = parent.addChild(rdn=dn.split()[0], attributes=_with_id(dn, values))
        except ldaperrors.LDAPException as error:
            raise LdifError(path, f"{dn.getText()}: {type(error).__name__}") from error
        known[_key(dn)] = child
    return root


def _key(dn: Any) -> str:
    return str(dn.getText()).lower()


def _with_id(dn: Any, values: dict[bytes, list[bytes]]) -> dict[bytes, list[bytes]]:
    """Give an entry without entryUUID one that stays the same as long as its name does."""
    if any(name.lower() == b"entryuuid" for name in values):
        return values
    return values | {b"entryUUID": [str(uuid.uuid5(uuid.NAMESPACE_X500, _key(dn))).encode()]}


class DemoServer(LDAPServer):  # type: ignore[misc]  # ldaptor ships no types
    """One connection: binds and searches, nothing else."""

    def handle(self, msg: Any) -> None:
        """Allow binds to everybody, searches to who is bound, writing to nobody."""
        request = msg.value
        if isinstance(request, pureldap.LDAPBindRequest | pureldap.LDAPUnbindRequest):
            super().handle(msg)
        elif not isinstance(request, pureldap.LDAPSearchRequest):
            self.queue(msg.id, self._refusal(request))
        elif self.boundUser is None:
            code = ldaperrors.LDAPInsufficientAccessRights.resultCode
            self.queue(msg.id, pureldap.LDAPSearchResultDone(resultCode=code, errorMessage=b"log on first"))
        else:
            super().handle(msg)

    @staticmethod
    def _refusal(request: Any) -> Any:
        code = ldaperrors.LDAPUnwillingToPerform.resultCode
        answers = {
            pureldap.LDAPModifyRequest: pureldap.LDAPModifyResponse,
            pureldap.LDAPAddRequest: pureldap.LDAPAddResponse,
            pureldap.LDAPDelRequest: pureldap.LDAPDelResponse,
            pureldap.LDAPModifyDNRequest: pureldap.LDAPModifyDNResponse,
            pureldap.LDAPCompareRequest: pureldap.LDAPCompareResponse,
        }
        answer = answers.get(type(request))
        if answer is not None:
            return answer(resultCode=code, errorMessage=b"read-only")
        return pureldap.LDAPExtendedResponse(resultCode=ldaperrors.LDAPProtocolError.resultCode)

    def handle_LDAPBindRequest(self, request: Any, controls: Any, reply: Any) -> Any:  # noqa: N802 - ldaptor's name
        """Check a password; locked accounts are refused in the words of the password-policy control."""
        del reply
        self.boundUser = None
        if request.version != 3 or not isinstance(request.auth, bytes):  # noqa: PLR2004 - LDAPv3, simple
            return pureldap.LDAPBindResponse(resultCode=ldaperrors.LDAPAuthMethodNotSupported.resultCode)
        if request.dn == b"":
            return pureldap.LDAPBindResponse(resultCode=0)
        asks_policy = any(_octets(control[0]) == _PPOLICY for control in controls or ())
        found = self.factory.find(request.dn)
        code, policy = _judge_bind(found, request.auth)
        if code == 0:
            self.boundUser = found
        response = pureldap.LDAPBindResponse(resultCode=code)
        if policy is None or not asks_policy:
            return response
        return _WithControls(response, [(_PPOLICY, None, policy)])

    def queue(self, id: int, op: Any) -> None:  # noqa: A002 - ldaptor's name
        """Send an answer, with controls where it has some."""
        if not isinstance(op, _WithControls):
            super().queue(id, op)
        elif self.connected:
            self.transport.write(pureldap.LDAPMessage(op.response, id=id, controls=op.controls).toWire())

    def _cbSearchGotBase(self, base: Any, dn: Any, request: Any, reply: Any) -> Any:  # noqa: N802 - ldaptor's name
        """Search; passwords are left out, attribute names compare without regard to case."""
        del dn
        wanted = {_octets(name).lower(): _octets(name) for name in request.attributes}
        everything = not wanted or b"*" in wanted

        def send(found: Any) -> None:
            attributes = [
                (wanted.get(bytes(name).lower(), bytes(name)), list(values))
                for name, values in found.items()
                if bytes(name).lower() not in _SECRET and (everything or bytes(name).lower() in wanted)
            ]
            reply(pureldap.LDAPSearchResultEntry(objectName=found.dn.getText(), attributes=attributes))

        if _names_secret(request.filter):
            return pureldap.LDAPSearchResultDone(resultCode=0)
        done: defer.Deferred[Any] = base.search(filterObject=request.filter, scope=request.scope, callback=send)
        done.addCallback(lambda _: pureldap.LDAPSearchResultDone(resultCode=0))
        return done


class _WithControls:
    """An answer with its controls, on the way to `queue`."""

    def __init__(self, response: Any, controls: list[tuple[bytes, Any, bytes]]) -> None:
        self.response = response
        self.controls = controls

    def toWire(self) -> bytes:  # noqa: N802 - ldaptor's name
        """Return the answer alone."""
        return bytes(self.response.toWire())


def _names_secret(node: Any) -> bool:
    """Whether a filter asks about a password, which would let a reader guess it octet by octet."""
    return any(name in node.toWire().lower() for name in _SECRET)


def _judge_bind(found: Any, password: bytes) -> tuple[int, bytes | None]:
    wrong = int(ldaperrors.LDAPInvalidCredentials.resultCode)
    if found is None or not password:
        return wrong, None
    values = {bytes(name).lower(): [_octets(v) for v in held] for name, held in found.items()}
    if _FOREVER_LOCKED in values.get(b"pwdaccountlockedtime", ()):
        return wrong, _LOCKED
    if not any(_matches(stored, password) for stored in values.get(b"userpassword", ())):
        return wrong, None
    return 0, _MUST_CHANGE if b"TRUE" in values.get(b"pwdreset", ()) else None


def _matches(stored: bytes, password: bytes) -> bool:
    """Compare with a plain or salted stored password (RFC 2307 schemes)."""
    for prefix, (algorithm, length) in _SALTED.items():
        if stored[: len(prefix)].lower() == prefix:
            try:
                raw = b64decode(stored[len(prefix) :], validate=True)
            except ValueError:
                return False
            return hmac.compare_digest(hashlib.new(algorithm, password + raw[length:]).digest(), raw[:length])
    return hmac.compare_digest(stored, password)


class DirectoryFactory(protocol.ServerFactory):
    """Serves the newest good reading of the LDIF."""

    protocol = DemoServer

    def __init__(self, path: Path, say: Callable[[str], None]) -> None:
        self._path = path
        self._say = say
        self._seen = self._state()
        self.root = read_tree(path)

    def reload(self) -> None:
        """Read the file again if it changed since the last look."""
        state = self._state()
        if state == self._seen:
            return
        self._seen = state
        try:
            self.root = read_tree(self._path)
        except LdifError as error:
            self._say(f"kept the last good directory: {error}")
        else:
            self._say(f"read {self._path} again")

    def find(self, dn: bytes) -> Any:
        """Return the entry of a name, or None."""
        found: list[Any] = []
        with contextlib.suppress(distinguishedname.InvalidRelativeDistinguishedName):
            lookup = self.root.lookup(distinguishedname.DistinguishedName(dn))
            lookup.addCallbacks(found.append, lambda _: None)
        return found[0] if found else None

    def _state(self) -> tuple[int, int, int]:
        try:
            stat = self._path.stat()
        except OSError:
            return (0, 0, 0)
        return (stat.st_mtime_ns, stat.st_size, stat.st_ino)


registerAdapter(lambda factory: factory.root, DirectoryFactory, interfaces.IConnectedLDAPEntry)  # type: ignore[no-untyped-call]  # Twisted's


def main() -> None:
    """Serve a directory from an LDIF file until the process is ended."""
    parser = argparse.ArgumentParser(prog="python -m deploy.ldap_server", description=main.__doc__)
    parser.add_argument("--ldif", required=True, type=Path, help="the data")
    parser.add_argument("--port", required=True, type=int, help="TCP port; 0 chooses a free one")
    parser.add_argument("--host", default="127.0.0.1", help="loopback address to listen on; default 127.0.0.1")
    options = parser.parse_args()
    from twisted.internet import reactor as installed  # noqa: PLC0415 - importing it installs it

    reactor: Any = installed
    try:
        factory = DirectoryFactory(options.ldif, lambda text: _say(text, sys.stderr))
        listening = reactor.listenTCP(options.port, factory, interface=_loopback(options.host))
    except (LdifError, OSError, ValueError, OverflowError, CannotListenError) as error:
        sys.exit(f"error: {error}")
    task.LoopingCall(factory.reload).start(RELOAD_EVERY, now=False)
    reactor.callWhenRunning(_say, f"ready: ldap://{options.host}:{listening.getHost().port}", sys.stdout)
    reactor.run()


def _say(text: str, stream: TextIO) -> None:
    stream.write(text + "\n")
    stream.flush()


def _loopback(host: str) -> str:
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(host).is_loopback:
            return host
    msg = f"{host} is no loopback address; this server has no TLS and is for one machine"
    raise ValueError(msg)


if __name__ == "__main__":
    main()
