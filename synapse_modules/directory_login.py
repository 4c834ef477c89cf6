"""Log-on with the directory's password: the password provider, the judgement of a log-on, and its records."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from prometheus_client import Counter
from synapse.api.errors import Codes, SynapseError
from synapse.logging.context import current_context
from synapse.module_api import NOT_SPAM
from synapse.module_api.errors import ConfigError

from synapse_modules._accounts import Accounts
from synapse_modules._config import parse_config
from synapse_modules._directory import DirectoryKeeper
from synapse_modules._ldap_connection import DirectoryError
from synapse_modules._ldap_directory import Checked, Directory
from synapse_modules._ldap_outcome import Outcome
from synapse_modules._ldap_pool import DirectoryPool, PoolFullError
from synapse_modules._login_answers import ask, refusal
from synapse_modules._login_interposed import Attempts
from synapse_modules._runtime import Runtime
from synapse_modules._session_terms import SessionTermsWriter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from synapse.module_api import ModuleApi

    from charter.directory import Person
    from synapse_modules._config import CharterConfig

    LoginCallback = Callable[[Any], Awaitable[None]]
    Success = tuple[str, LoginCallback | None]

logger = logging.getLogger(__name__)

ATTEMPTS = Counter("charter_logon_attempts", "Log-ons checked with the directory", ["outcome"])
_PASSWORD = "m.login.password"  # noqa: S105 - the name of a log-on type


class DirectoryLogin:
    """The Synapse module: registers, and keeps the directory snapshot.

    Raises:
        ConfigError: local passwords are on, or the directory's settings cannot work; Synapse does not start.
    """

    def __init__(self, config: CharterConfig, api: ModuleApi) -> None:
        if config.login is None:
            msg = "Charter's configuration: login: needed by directory_login"
            raise ConfigError(msg)
        _refuse_local_passwords(api)
        self._api = api
        self._runtime = Runtime.of(config, api)
        self._settings = config.login
        try:
            config.login.read_bind_password()
            self._directory = Directory(config.login, api.server_name, self._runtime.now)
        except (OSError, ValueError) as error:
            msg = f"Charter's configuration: login: {error}"
            raise ConfigError(msg) from error
        self._pool = DirectoryPool(api, "charter-ldap", threads=config.login.threads, queue=config.login.queue)
        self.keeper = DirectoryKeeper(self._runtime, config.login, self._directory)
        self._runtime.directory_age = self.keeper.age
        if config.login.create_accounts:
            Accounts(self._runtime, self.keeper, self._display_attribute, self._is_no_person)
        self._terms = SessionTermsWriter(self._runtime)
        self._attempts = Attempts()
        self._attempts.interpose(api)
        api.register_password_auth_provider_callbacks(
            auth_checkers={(_PASSWORD, ("password",)): self.check_auth},
            check_3pid_auth=self.check_3pid_auth if config.login.mail_attribute else None,
        )
        api.register_spam_checker_callbacks(check_login_for_spam=self.check_login)

    @staticmethod
    def parse_config(config: dict[str, Any]) -> CharterConfig:
        """Parse the configuration block that all parts share."""
        return parse_config(config)

    async def check_auth(self, username: str, login_type: str, login_dict: dict[str, Any]) -> Success | None:
        """Check a password; for log-on and for re-authentication. Never raises."""
        del login_type
        return await self._guarded(username, login_dict.get("password"), by_mail=False)

    async def check_3pid_auth(self, medium: str, address: str, password: str) -> Success | None:
        """Check a password given with an e-mail address. Never raises."""
        return await self._guarded(address, password, by_mail=True) if medium == "email" else None

    async def check_login(
        self, user_id: str, device_id: str | None, _name: str | None, request_info: Any, _idp: str | None = None
    ) -> Any:
        """Judge a log-on whose credentials were right, whatever kind they were; a refusal carries its text."""
        if self._is_no_person(user_id):
            return NOT_SPAM  # an application service logs on as itself; nobody else gets here
        try:
            refused = await self._terms.refused(
                user_id, device_id, _address(request_info), self.keeper.age(), self.keeper.person(user_id)
            )
        except Exception:
            logger.exception("a log-on could not be judged")
            refused = ("The log-on could not be judged and is refused.", {})
        if refused is None:
            return NOT_SPAM
        text, extra = refused
        await self._record(user_id, ok=False, reason=text, device=device_id)
        return Codes.FORBIDDEN, {"error": text, **extra}

    async def _guarded(self, name: object, password: object, *, by_mail: bool) -> Success | None:
        """Check, count, record. An accident is an outage to the person: an exception would be a wrong password."""
        try:
            checked = await self._check(name, password, by_mail=by_mail)
            ATTEMPTS.labels(checked.outcome.value).inc()
            if checked.outcome is Outcome.OK and checked.user_id is not None:
                return await self._accept(checked)
            logger.info("log-on refused: %s (%s)", checked.outcome.value, checked.detail)
            await self._refuse(name, checked)
        except Exception:
            logger.exception("checking a password failed")
            body = self._body(ok=False, reason=Outcome.UNAVAILABLE.value)
            self._runtime.outbox.put_soon("logon", subject=str(name)[:255], body=body)
            self._answer(Outcome.UNAVAILABLE)
        return None

    async def _check(self, name: object, password: object, *, by_mail: bool) -> Checked:
        if not isinstance(name, str) or not isinstance(password, str):
            return Checked(Outcome.BAD_NAME)
        try:
            wanted = (self._display_attribute(),)
            return await self._pool.run(self._directory.check, name, password, by_mail=by_mail, attributes=wanted)
        except PoolFullError as error:
            return Checked(Outcome.BUSY, detail=str(error))

    async def _accept(self, checked: Checked) -> Success | None:
        user_id = str(checked.user_id)
        if self._is_no_person(user_id):
            logger.error("%s of the directory has the name of a bot or service and cannot log on", user_id)
            await self._refuse(user_id, Checked(Outcome.BAD_NAME, user_id, detail="the name belongs to a service"))
            return None
        person = await self._known(checked)
        if person is None or not person.enabled:
            await self._refuse(user_id, Checked(Outcome.DISABLED, user_id, detail="not enabled in the snapshot"))
            return None
        await self._ensure_account(user_id, checked)
        if _is_log_on():
            return user_id, self._logged_on
        await self._record(user_id, ok=True, reason="re-authentication")
        return user_id, None

    async def _known(self, checked: Checked) -> Person | None:
        """Return the person of the snapshot; who is not in it, or changed, is read now so that rights are there at once."""
        assert checked.entry is not None
        known = self.keeper.person(str(checked.user_id))
        if known is not None and known.enabled and known.dn == checked.entry.dn:
            return known
        try:
            person = await self._pool.run(self._directory.person_of, checked.entry, self.keeper.attributes())
        except (DirectoryError, PoolFullError):
            logger.warning("%s could not be read from the directory", checked.user_id)
            raise
        if person is not None:
            await self.keeper.remember(person)
        return person

    async def _ensure_account(self, user_id: str, checked: Checked) -> None:
        """Create the account at the first log-on; it has no password."""
        if await self._api.check_user_exists(user_id):
            return
        name = checked.entry.first(self._display_attribute()) if checked.entry else None
        localpart = user_id[1:].partition(":")[0]
        try:
            await self._api.register_user(localpart, displayname=name)
        except SynapseError as error:
            if error.errcode != Codes.USER_IN_USE:  # in use: another log-on of the same person was faster
                raise

    async def _logged_on(self, response: Any) -> None:
        """Apply the session's terms to the new token, then record; if either fails the token is taken back."""
        user_id, device = str(response["user_id"]), str(response["device_id"])
        try:
            expires_at = await self._terms.apply(response)
            await self._record(user_id, ok=True, reason=None, device=device, expires_at=expires_at)
        except Exception as error:
            logger.exception("a log-on could not be completed")
            await self._terms.take_back(user_id, device)
            text = f"The log-on could not be completed. {ask(self._contact())}"
            raise SynapseError(503, text, Codes.UNKNOWN) from error

    async def _refuse(self, name: object, checked: Checked) -> None:
        typed = name if isinstance(name, str) else ""
        await self._record(
            checked.user_id or typed[:255], ok=False, reason=checked.outcome.value, detail=checked.detail
        )
        self._answer(checked.outcome)

    def _answer(self, outcome: Outcome) -> None:
        error = refusal(outcome, self._contact())
        if error is not None:
            self._attempts.refuse(error)

    async def _record(self, who: str, *, ok: bool, reason: str | None, **more: Any) -> None:
        actor = who if who.startswith("@") else None
        await self._runtime.outbox.put("logon", actor=actor, subject=who, body=self._body(ok=ok, reason=reason, **more))

    @staticmethod
    def _body(*, ok: bool, reason: str | None, **more: Any) -> dict[str, Any]:
        request = current_context().request
        return {
            "ok": ok,
            "reason": reason,
            "device": None,
            "expires_at": None,
            "address": request.ip_address if request else None,
            "user_agent": request.user_agent if request else None,
            **more,
        }

    def _contact(self) -> str | None:
        compiled = self._runtime.compiled()
        return None if compiled is None else compiled.policy.organisation.contact

    def _display_attribute(self) -> str:
        compiled = self._runtime.compiled()
        profile = None if compiled is None else compiled.policy.directory.profile
        return profile.display_name if profile and profile.display_name else "cn"

    def _is_no_person(self, user_id: str) -> bool:
        """Whether a name is a bot's, an application service's or that of the server's own notices."""
        notices = self._api._hs.config.servernotices.server_notices_mxid  # noqa: SLF001 - no public reader
        return self._runtime.is_bot(user_id) or user_id == notices or self._is_application_service(user_id)

    def _is_application_service(self, user_id: str) -> bool:
        pattern = self._api._store.exclusive_user_regex  # noqa: SLF001 - no public way to ask for exclusive namespaces
        return bool(pattern and pattern.match(user_id))


def _is_log_on() -> bool:
    """Whether the request is a log-on; otherwise a password is checked for re-authentication, and no callback follows."""
    request = current_context().request
    return request is None or request.url.partition("?")[0].rstrip("/").endswith("/login")


def _address(request_info: Any) -> str | None:
    return next((address for _, address in request_info if address), None)


def _refuse_local_passwords(api: ModuleApi) -> None:
    """An exception in a check would fall through to the local password, and Synapse would store one."""
    auth = api._hs.config.auth  # noqa: SLF001 - the module API does not show this setting
    if auth.password_localdb_enabled:
        msg = (
            "set password_config.localdb_enabled to false: passwords stay in the directory, Synapse must not store any"
        )
        raise ConfigError(msg)
    if not auth.password_enabled_for_login:
        msg = "password_config.enabled must not be false: people log on with their directory password"
        raise ConfigError(msg)
