"""Connections to the directory: TLS, time-outs, one host after the other, a breaker for each.

Everything here blocks and belongs in a thread of the log-on pool. A connection is used by one thread only: the
service connection is kept per thread, a person's bind gets a fresh one that is closed at once.
"""

from __future__ import annotations

import contextlib
import logging
import math
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

import ldap3
from ldap3.core.exceptions import LDAPException, LDAPStartTLSError

from synapse_modules._ldap_breaker import Breaker
from synapse_modules._ldap_outcome import PPOLICY_OID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from synapse_modules._login_config import LoginConfig, ServerAddress

logger = logging.getLogger(__name__)
T = TypeVar("T")

_PPOLICY_REQUEST: Final = (PPOLICY_OID, False, None)
_INVALID_CREDENTIALS: Final = 49
_TRANSIENT: Final = frozenset({51, 52, 80})
"""Busy, unavailable, other: another server may do better."""


class DirectoryError(Exception):
    """The directory gave no answer that could be used; `server` is its URL, or "" for all of them."""

    def __init__(self, reason: str, server: str = "") -> None:
        super().__init__(f"{server}: {reason}" if server else reason)
        self.server = server
        self.reason = reason


class DirectoryUnavailableError(DirectoryError):
    """No server answered in time; the next attempt may succeed."""


class DirectoryMisconfiguredError(DirectoryError):
    """A server answered, and an administrator must change something before it can work."""


class _SharedTls(ldap3.Tls):  # type: ignore[misc]  # ldap3 ships no types
    """Wraps with the one shared context, which also checks the host name (ldap3's matcher refuses IP SANs)."""

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        super().__init__(validate=context.verify_mode)
        self._context = context
        self._host = host
        self.untrusted: str | None = None

    def wrap_socket(self, connection: Any, do_handshake: bool = False) -> None:  # noqa: FBT001, FBT002 - ldap3's signature
        """Wrap the connection's socket; TCP_NODELAY first, which makes a bind fifteen times faster."""
        _no_delay(connection.socket)
        try:
            connection.socket = self._context.wrap_socket(
                connection.socket, server_hostname=self._host, do_handshake_on_connect=do_handshake
            )
        except ssl.SSLCertVerificationError as error:
            self.untrusted = error.verify_message or str(error)
            raise


def _no_delay(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):  # a Unix socket has no such option
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def tls_context(config: LoginConfig) -> ssl.SSLContext:
    """Return the context for every connection.

    Raises:
        OSError: the CA file cannot be read (`ssl.SSLError` if it is no certificate).
    """
    context = ssl.create_default_context(cafile=str(config.tls.ca_file) if config.tls.ca_file else None)
    if not config.tls.verify:
        logger.warning("the directory's certificates are NOT verified (login.tls.verify is false)")
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class Connector:
    """Opens connections, host after host.

    Args:
        config: where the servers are.
        clock: monotonic seconds, for the breakers.
    """

    def __init__(self, config: LoginConfig, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._context = tls_context(config)
        self._hosts = tuple((address, Breaker(config.retry_after, clock)) for address in config.addresses())
        self._local = threading.local()

    def as_service(self, action: Callable[[Any], T]) -> T:
        """Run `action(connection)` on a connection bound as the service account and return its result.

        A kept connection may have gone stale: then the action is repeated once on a fresh one.

        Raises:
            DirectoryUnavailableError: no server answered.
            DirectoryMisconfiguredError: servers answered and refused the service account, or are not trusted.
        """

        def attempt(address: ServerAddress) -> T:
            kept = self._kept().pop(str(address), None)
            if kept is not None:
                try:
                    return self._run_kept(address, kept, action)
                except (LDAPException, OSError) as error:
                    if "timed out" in str(error):  # it hangs: a second wait would be in vain
                        raise
                    logger.debug("a kept connection to %s was stale", address)
            return self._run_kept(address, self.open_service(address), action)

        return self._each_host(attempt)

    def bind(self, dn: str, password: bytes) -> dict[str, Any]:
        """Bind as a person on a fresh connection and return the server's result.

        Args:
            dn: name found by a search, never typed text.
            password: not empty; as bytes, so that nothing re-writes it (SASLprep).

        Raises:
            ValueError: the password is empty.
            DirectoryUnavailableError: no server answered.
            DirectoryMisconfiguredError: no server is trusted.
        """
        if not password:
            msg = "an empty password would be an anonymous bind"
            raise ValueError(msg)

        def attempt(address: ServerAddress) -> dict[str, Any]:
            with self._opened(address, dn, password) as connection:
                connection.bind(controls=[_PPOLICY_REQUEST])
                result = dict(connection.result)
                if result.get("result") in _TRANSIENT:
                    raise DirectoryUnavailableError(str(result.get("description")), str(address))
                return result

        return self._each_host(attempt)

    def open_service(self, address: ServerAddress) -> Any:
        """Open one server, bound as the service account.

        Raises:
            DirectoryUnavailableError: it does not answer.
            DirectoryMisconfiguredError: it is not trusted, or refuses the account.
        """
        connection = self._connect(address, self._config.bind_dn, self._service_password())
        try:
            connection.bind()
            code = connection.result.get("result")
        except (LDAPException, OSError) as error:
            _close(connection)
            raise DirectoryUnavailableError(_words(error), str(address)) from error
        if code == 0:
            return connection
        description = connection.result.get("description")
        _close(connection)
        if code in _TRANSIENT:
            raise DirectoryUnavailableError(str(description), str(address))
        what = "wrong DN or password" if code == _INVALID_CREDENTIALS else str(description)
        msg = f"the service account {self._config.bind_dn} was refused: {what}"
        raise DirectoryMisconfiguredError(msg, str(address))

    def close_thread(self) -> None:
        """Close the kept connections of the calling thread."""
        for connection in self._kept().values():
            _close(connection)
        self._kept().clear()

    @property
    def addresses(self) -> tuple[ServerAddress, ...]:
        """The servers in order."""
        return tuple(address for address, _ in self._hosts)

    @property
    def holding(self) -> bool:
        """Whether every server is being left alone after a failure."""
        return all(breaker.holding for _, breaker in self._hosts)

    def _service_password(self) -> bytes:
        try:
            return self._config.read_bind_password()
        except (OSError, ValueError) as error:
            msg = f"the service account's password cannot be read: {error}"
            raise DirectoryMisconfiguredError(msg) from error

    def _kept(self) -> dict[str, Any]:
        kept: dict[str, Any] | None = getattr(self._local, "kept", None)
        if kept is None:
            kept = self._local.kept = {}
        return kept

    def _run_kept(self, address: ServerAddress, connection: Any, action: Callable[[Any], T]) -> T:
        """Keep the connection only if the action came through: a timed-out one may yet receive an old answer."""
        try:
            result = action(connection)
        except BaseException:
            _close(connection)
            raise
        self._kept()[str(address)] = connection
        return result

    def _each_host(self, attempt: Callable[[ServerAddress], T]) -> T:
        failures: list[DirectoryError] = []
        for address, breaker in self._hosts:
            if not breaker.may_try():
                failures.append(DirectoryUnavailableError("left alone after a failure", str(address)))
                continue
            try:
                result = attempt(address)
            except DirectoryMisconfiguredError as error:
                breaker.succeeded()
                failures.append(error)
                logger.error("directory: %s", error)  # noqa: TRY400 - an expected failure; its message says all
            except (LDAPException, OSError, DirectoryUnavailableError) as error:
                breaker.failed()
                failures.append(DirectoryUnavailableError(_words(error), str(address)))
                logger.warning("directory server %s did not answer: %s", address, _words(error))
            except BaseException:
                breaker.succeeded()
                raise
            else:
                breaker.succeeded()
                return result
        kind = next(
            (type(f) for f in failures if isinstance(f, DirectoryMisconfiguredError)), DirectoryUnavailableError
        )
        raise kind("; ".join(str(failure) for failure in failures))

    @contextlib.contextmanager
    def _opened(self, address: ServerAddress, dn: str, password: bytes) -> Iterator[Any]:
        connection = self._connect(address, dn, password)
        try:
            yield connection
        finally:
            _close(connection)

    def _connect(self, address: ServerAddress, dn: str, password: bytes) -> Any:
        """Open a socket (and TLS); nothing is sent before TLS stands."""
        tls = _SharedTls(self._context, address.host)
        connection = ldap3.Connection(
            ldap3.Server(
                address.host,
                address.port,
                use_ssl=address.scheme == "ldaps",
                tls=tls,
                get_info=ldap3.NONE,
                connect_timeout=self._config.connect_timeout,
            ),
            user=dn,
            password=password,
            authentication=ldap3.SIMPLE,
            client_strategy=ldap3.SYNC,
            auto_referrals=False,  # it would hand DN and password to whatever host a referral names
            check_names=False,
            receive_timeout=math.ceil(self._config.operation_timeout),
        )
        try:
            connection.open(read_server_info=False)
            connection.socket.settimeout(self._config.operation_timeout)
            if self._config.start_tls:
                connection.start_tls(read_server_info=False)
            _no_delay(connection.socket)
            connection.socket.settimeout(self._config.operation_timeout)
        except (LDAPException, OSError) as error:
            _close(connection)
            if tls.untrusted is not None:
                msg = f"certificate not trusted: {tls.untrusted}"
                raise DirectoryMisconfiguredError(msg, str(address)) from error
            if isinstance(error, LDAPStartTLSError) and "startTLS failed" in str(error):
                msg = f"StartTLS was refused: {error}"
                raise DirectoryMisconfiguredError(msg, str(address)) from error
            raise DirectoryUnavailableError(_words(error), str(address)) from error
        return connection


def _words(error: BaseException) -> str:
    return error.reason if isinstance(error, DirectoryError) else f"{type(error).__name__}: {error}"


def _close(connection: Any) -> None:
    """Close without an unbind that could block: the socket is the only thing of value."""
    with contextlib.suppress(LDAPException, OSError, AttributeError):
        connection.strategy.close()
    if connection.socket is not None:  # ldap3 forgets the socket of an opening that failed
        with contextlib.suppress(OSError):
            connection.socket.close()
