"""A real OpenLDAP server for tests: its own folder, an LDIF, certificates made for the occasion."""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import os
import signal
import socket
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import ldap3
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.harness.ports import free_ports
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SUFFIX = "dc=acme,dc=example"
SERVICE_DN = f"cn=charter,{SUFFIX}"
SERVICE_PASSWORD = "reads-only"
ROOT_DN = f"cn=root,{SUFFIX}"
ROOT_PASSWORD = "root"

BASE_LDIF = f"""\
dn: {SUFFIX}
objectClass: dcObject
objectClass: organization
dc: acme
o: ACME

dn: ou=people,{SUFFIX}
objectClass: organizationalUnit
ou: people

dn: ou=groups,{SUFFIX}
objectClass: organizationalUnit
ou: groups

dn: cn=charter,{SUFFIX}
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: charter
userPassword: {SERVICE_PASSWORD}
"""

_CONFIGURATION = """\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
include /etc/ldap/schema/nis.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload ppolicy
sizelimit 500
{tls}
database mdb
suffix "{suffix}"
rootdn "{root_dn}"
rootpw {root_password}
directory "{folder}/db"
maxsize 268435456
index objectClass,uid,member eq
overlay ppolicy
ppolicy_default "cn=default,{suffix}"
ppolicy_use_lockout
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="{service_dn}" read by * none
"""

_POLICY = f"""
dn: cn=default,{SUFFIX}
objectClass: person
objectClass: pwdPolicy
cn: default
sn: default
pwdAttribute: userPassword
pwdLockout: TRUE
pwdMaxFailure: 5
pwdMustChange: TRUE
"""


@dataclass
class Authority:
    """A certificate authority of one test."""

    folder: Path
    name: str = "ca"
    _key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def __post_init__(self) -> None:
        """Write the authority's certificate."""
        self.folder.mkdir(parents=True, exist_ok=True)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"test {self.name}")])
        usage = x509.KeyUsage(*(part in {5, 6} for part in range(9)))
        self._certificate = (
            _builder(subject, subject, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self.ca_file.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    @property
    def ca_file(self) -> Path:
        """The certificate in PEM."""
        return self.folder / f"{self.name}.pem"

    def issue(self, host: str) -> tuple[Path, Path]:
        """Issue a certificate for a host name or address and return its file and the key's."""
        key = ec.generate_private_key(ec.SECP256R1())
        try:
            name: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            name = x509.DNSName(host)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        certificate = (
            _builder(subject, self._certificate.subject, key.public_key())
            .add_extension(x509.SubjectAlternativeName([name]), critical=False)
            .add_extension(authority, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        cert_file, key_file = self.folder / f"{host}.pem", self.folder / f"{host}.key"
        cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return cert_file, key_file


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
    )


@dataclass
class Slapd:
    """One running server; use it as a context manager.

    Args:
        folder: an empty folder of this server's own.
        ldif: the entries below people and groups; `BASE_LDIF` and the password policy come before them.
        certificate: certificate and key files; without them it speaks plain LDAP only.
    """

    folder: Path
    ldif: str
    certificate: tuple[Path, Path] | None = None
    host: str = "127.0.0.1"

    def __post_init__(self) -> None:
        """Load the data."""
        (self.folder / "db").mkdir(parents=True)
        self.port, self.tls_port = free_ports(2)
        tls = ""
        if self.certificate:
            tls = f"TLSCertificateFile {self.certificate[0]}\nTLSCertificateKeyFile {self.certificate[1]}"
        self._conf.write_text(
            _CONFIGURATION.format(
                folder=self.folder, suffix=SUFFIX, root_dn=ROOT_DN, root_password=ROOT_PASSWORD,
                service_dn=SERVICE_DN, tls=tls,
            )
        )  # fmt: skip
        subprocess.run(
            ["/usr/sbin/slapadd", "-q", "-w", "-f", str(self._conf)],
            input=(BASE_LDIF + _POLICY + "\n" + self.ldif).encode(),
            check=True,
            capture_output=True,
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def _conf(self) -> Path:
        return self.folder / "slapd.conf"

    @property
    def url(self) -> str:
        """The plain address."""
        return f"ldap://{self.host}:{self.port}"

    @property
    def tls_url(self) -> str:
        """The LDAPS address."""
        return f"ldaps://{self.host}:{self.tls_port}"

    def start(self) -> None:
        """Start and wait until the ports accept."""
        urls = f"ldap://127.0.0.1:{self.port}"
        if self.certificate:
            urls += f" ldaps://127.0.0.1:{self.tls_port}"
        with (self.folder / "slapd.log").open("ab") as log:
            self._process = subprocess.Popen(
                ["/usr/sbin/slapd", "-d", "0", "-f", str(self._conf), "-h", urls], stdout=log, stderr=log
            )
        until(self._accepts, "slapd accepts connections")

    def _accepts(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "slapd.log").read_text()
        try:
            with socket.create_connection(("127.0.0.1", self.tls_port if self.certificate else self.port), 1):
                return True
        except OSError:
            return False

    def hang(self) -> None:
        """SIGSTOP: connections are accepted by the kernel, nothing is answered."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def stop(self) -> None:
        """End it, hung or not."""
        if self._process is not None:
            self.resume()
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self.stop()

    def modify(self, dn: str, changes: dict[str, list[tuple[str, list[str]]]]) -> None:
        """Change an entry as an administrator; `changes` as ldap3 wants them."""
        relax = ("1.3.6.1.4.1.4203.666.5.12", True, None)  # operational attributes may be written too
        with self._admin() as connection:
            assert connection.modify(dn, changes, controls=[relax]), connection.result

    def delete(self, dn: str) -> None:
        """Delete an entry as an administrator."""
        with self._admin() as connection:
            assert connection.delete(dn), connection.result

    def add(self, dn: str, object_class: list[str], attributes: dict[str, str | list[str]]) -> None:
        """Add an entry as an administrator."""
        with self._admin() as connection:
            assert connection.add(dn, object_class, attributes), connection.result

    @contextlib.contextmanager
    def _admin(self) -> Iterator[ldap3.Connection]:
        server = ldap3.Server("127.0.0.1", self.port, get_info=ldap3.NONE)
        connection = ldap3.Connection(server, ROOT_DN, ROOT_PASSWORD, auto_bind=True, check_names=False)
        try:
            yield connection
        finally:
            connection.unbind()
