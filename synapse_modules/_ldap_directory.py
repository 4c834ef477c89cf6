"""What Charter asks of the directory: check a password, read one person, read everybody. Blocking."""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import ldap3
from ldap3.core.exceptions import LDAPInvalidFilterError

from charter.directory import DirectorySnapshot, Person
from charter.people import normalise_dn
from synapse_modules._ldap_connection import Connector, DirectoryMisconfiguredError, DirectoryUnavailableError
from synapse_modules._ldap_filter import LdapFilter
from synapse_modules._ldap_outcome import Outcome, classify_bind
from synapse_modules._ldap_people import (
    GROUP_LINKS,
    ID_ATTRIBUTES,
    MEMBER_ATTRIBUTES,
    STATE_ATTRIBUTES,
    Entry,
    GroupTree,
    is_enabled,
    localpart,
    person,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from synapse_modules._login_config import LoginConfig

logger = logging.getLogger(__name__)

_PAGED: Final = "1.2.840.113556.1.4.319"
_NO_SUCH_OBJECT: Final = 32
_MAX_PASSWORD: Final = 4096
_MAX_NAME: Final = 255


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of an attempt to log on.

    Attributes:
        outcome: the one outcome.
        user_id: MXID, built from the entry that the directory returned; None unless a person was found.
        entry: that entry.
        detail: words for the log and the record; never shown to the person, never a password.
    """

    outcome: Outcome
    user_id: str | None = None
    entry: Entry | None = None
    detail: str = ""


class Directory:
    """The company's directory.

    Args:
        config: where it is and how people are found.
        server_name: the Matrix server name of the people.
        now: POSIX seconds, for accounts that expire.
    """

    def __init__(self, config: LoginConfig, server_name: str, now: Callable[[], float]) -> None:
        self._config = config
        self._server_name = server_name
        self._now = now
        self.connector = Connector(config)

    def check(self, name: str, password: str, *, by_mail: bool = False, attributes: Collection[str] = ()) -> Checked:
        """Search the person, bind as them, and say what came of it. Never raises for what a server does.

        An unknown name costs one refused bind as well, so that the answer's time does not tell who exists.

        Args:
            name: user name or full MXID of this server as typed, or an e-mail address.
            password: as typed.
            by_mail: `name` is an e-mail address.
            attributes: to read into the entry besides those that log-on needs.
        """
        refused = self._unusable(name, password)
        if refused is not None:
            return refused
        try:
            entry = self._find(name, by_mail=by_mail, attributes=attributes)
            if entry is None:
                dummy = f"{self._config.uid_attribute}={secrets.token_hex(8)},{self._config.people_base or self._config.base}"
                self.connector.bind(dummy, password.encode("utf-8", "surrogatepass"))
                return Checked(Outcome.UNKNOWN_USER)
            return self._bind(entry, password)
        except DirectoryMisconfiguredError as error:
            return Checked(Outcome.MISCONFIGURED, detail=str(error))
        except DirectoryUnavailableError as error:
            return Checked(Outcome.UNAVAILABLE, detail=str(error))

    def read_person(self, user_id: str, attributes: Collection[str]) -> Person | None:
        """Read one person with all their groups, or return None if the directory has nobody of that id.

        Raises:
            DirectoryError: no usable answer.
        """
        entry = self._find(user_id, attributes=attributes)
        if entry is None:
            return None
        return self.person_of(entry, attributes)

    def person_of(self, entry: Entry, attributes: Collection[str]) -> Person | None:
        """Return the person of an entry that `check` found, with their groups read now.

        Raises:
            DirectoryError: no usable answer.
        """
        name = localpart(entry, self._config.uid_attribute, self._server_name)
        if name is None:
            return None
        needed = self._person_attributes(attributes)

        def read(connection: Any) -> tuple[Entry | None, list[Entry]]:
            whole = self._search(connection, entry.dn, self._people_filter(), needed, scope=ldap3.BASE)
            return next(whole, None), self._groups_above(connection, entry, name)

        whole, groups = self.connector.as_service(read)
        if whole is None:
            return None
        member_of = GroupTree(groups).of(whole, name)
        return person(whole, self._user_id(name), member_of, attributes, self._now())

    def read_all(self, attributes: Collection[str]) -> DirectorySnapshot:
        """Read all people and groups, page by page.

        Raises:
            DirectoryError: no usable answer.
        """
        taken_at = self._now()
        needed = self._person_attributes(attributes)

        def read(connection: Any) -> tuple[list[Entry], list[Entry]]:
            people_base = self._config.people_base or self._config.base
            groups_base = self._config.groups_base or self._config.base
            groups = self._search(connection, groups_base, self._groups_filter(), (*MEMBER_ATTRIBUTES, "objectSid"))
            everybody = self._search(connection, people_base, self._people_filter(), needed)
            return list(everybody), list(groups)

        entries, groups = self.connector.as_service(read)
        tree = GroupTree(groups)
        people: dict[str, Person] = {}
        for entry in entries:
            name = localpart(entry, self._config.uid_attribute, self._server_name)
            if name is None:
                logger.info("%s has no usable %s and cannot log on", entry.dn, self._config.uid_attribute)
            elif self._user_id(name) in people:
                logger.warning(
                    "%s and %s share the name %s; the first counts", people[self._user_id(name)].dn, entry.dn, name
                )
            else:
                user_id = self._user_id(name)
                people[user_id] = person(entry, user_id, tree.of(entry, name), attributes, self._now())
        return DirectorySnapshot(dict(sorted(people.items())), taken_at)

    def _unusable(self, name: str, password: str) -> Checked | None:
        if not password:
            return Checked(Outcome.NO_PASSWORD)
        if len(password) > _MAX_PASSWORD:
            return Checked(Outcome.WRONG_CREDENTIALS, detail="password too long")
        if not name or len(name) > _MAX_NAME or "\0" in name:
            return Checked(Outcome.BAD_NAME)
        if name.startswith("@") and not name.endswith(f":{self._server_name}"):
            return Checked(Outcome.BAD_NAME, detail="another server's name")
        return None

    def _bind(self, entry: Entry, password: str) -> Checked:
        name = localpart(entry, self._config.uid_attribute, self._server_name)
        result = self.connector.bind(entry.dn, password.encode("utf-8", "surrogatepass"))
        outcome = classify_bind(result)
        detail = "" if outcome is Outcome.OK else f"{result.get('description')} {result.get('message')}".strip()
        if name is None:
            usable = outcome if outcome is Outcome.WRONG_CREDENTIALS else Outcome.BAD_NAME
            return Checked(usable, detail=f"{entry.dn} has no {self._config.uid_attribute} that can be a Matrix name")
        if outcome is Outcome.OK and not is_enabled(entry, self._now()):
            outcome, detail = Outcome.DISABLED, "disabled by an attribute of the entry"
        return Checked(outcome, self._user_id(name), entry, detail)

    def _find(self, name: str, *, by_mail: bool = False, attributes: Collection[str] = ()) -> Entry | None:
        typed = name.removeprefix("@").removesuffix(f":{self._server_name}") if name.startswith("@") else name
        keys = [] if by_mail else [LdapFilter.equals(self._config.uid_attribute, typed)]
        if self._config.mail_attribute is not None and "@" in typed:
            keys.append(LdapFilter.equals(self._config.mail_attribute, typed))
        if not keys:
            return None
        wanted = LdapFilter.all_of(self._people_filter(), LdapFilter.any_of(*keys))
        base = self._config.people_base or self._config.base
        needed = self._person_attributes(attributes)
        found = self.connector.as_service(lambda connection: list(self._search(connection, base, wanted, needed)))
        if len(found) > 1:
            names = ", ".join(sorted(entry.dn for entry in found[:3]))
            msg = f"several people share one name: {names}"
            raise DirectoryMisconfiguredError(msg)
        return found[0] if found else None

    def _groups_above(self, connection: Any, entry: Entry, name: str) -> list[Entry]:
        """Read the groups of one person, level by level upwards."""
        found: dict[str, Entry] = {}
        base = self._config.groups_base or self._config.base
        level = [entry.dn]
        keys = [LdapFilter.equals("memberUid", name)]
        if entry.first("primaryGroupID") is not None:  # its SID is computed, not searched: read all groups
            return list(self._search(connection, base, self._groups_filter(), (*MEMBER_ATTRIBUTES, "objectSid")))
        while level or keys:
            keys += [LdapFilter.equals(kind, dn) for dn in level for kind in ("member", "uniqueMember")]
            wanted = LdapFilter.all_of(self._groups_filter(), LdapFilter.any_of(*keys))
            groups = list(self._search(connection, base, wanted, MEMBER_ATTRIBUTES))
            level = [group.dn for group in groups if normalise_dn(group.dn) not in found]
            found |= {normalise_dn(group.dn): group for group in groups}
            keys = []
        return list(found.values())

    def _search(
        self, connection: Any, base: str, wanted: LdapFilter, attributes: Iterable[str], *, scope: str = ldap3.SUBTREE
    ) -> Iterator[Entry]:
        """Search page by page. Referrals are ignored: they would lead to another server with our password."""
        cookie: bytes | None = None
        while True:
            try:
                connection.search(
                    base,
                    wanted.text,
                    search_scope=scope,
                    attributes=list(attributes),
                    paged_size=None if scope == ldap3.BASE else self._config.page_size,
                    paged_cookie=cookie,
                )
            except LDAPInvalidFilterError as error:
                msg = f"filter refused: {wanted.text}"
                raise DirectoryMisconfiguredError(msg) from error
            code = connection.result.get("result")
            if code == _NO_SUCH_OBJECT and scope == ldap3.BASE:
                return
            if code != 0:
                self._refuse_result(base, connection.result)
            yield from (_entry(item) for item in connection.response or () if item.get("type") == "searchResEntry")
            control = (connection.result.get("controls") or {}).get(_PAGED)
            cookie = control["value"]["cookie"] if control else None
            if not cookie:
                return

    @staticmethod
    def _refuse_result(base: str, result: dict[str, Any]) -> None:
        words = f"search below {base}: {result.get('description')} {result.get('message')}".strip()
        if result.get("result") in {3, 51, 52, 80}:  # time limit, busy, unavailable, other
            raise DirectoryUnavailableError(words)
        raise DirectoryMisconfiguredError(words)

    def _person_attributes(self, attributes: Collection[str]) -> tuple[str, ...]:
        names = {name.lower(): name for name in (*attributes, *STATE_ATTRIBUTES, *ID_ATTRIBUTES, *GROUP_LINKS)}
        names[self._config.uid_attribute.lower()] = self._config.uid_attribute
        return tuple(names.values())

    def _people_filter(self) -> LdapFilter:
        return LdapFilter.configured(self._config.people_filter)

    def _groups_filter(self) -> LdapFilter:
        return LdapFilter.configured(self._config.groups_filter)

    def _user_id(self, name: str) -> str:
        return f"@{name}:{self._server_name}"


def _entry(item: dict[str, Any]) -> Entry:
    values: dict[str, tuple[bytes, ...]] = {}
    for name, found in (item.get("raw_attributes") or {}).items():
        key = name.split(";")[0].lower()
        values[key] = values.get(key, ()) + tuple(found)
    return Entry(str(item["dn"]), values)
