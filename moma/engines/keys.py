"""Makes a run's keys: its own authority, the servers' certificate, a token for each role."""

from __future__ import annotations

import ipaddress
import os
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from moma_core.rpc.trust import AUTHORITY, CLIENT, ROLES, SERVER, SERVER_NAME, Role, token_file

_SKEW = timedelta(hours=1)
"""By how much another machine's clock may be behind."""
_TOKEN_BYTES = 32


def make(directory: Path, hosts: Sequence[str], days: int, *, mutual: bool) -> None:
    """Makes a directory of keys. The authority's own key is not kept: nobody can sign with it.

    Args:
        directory: where they are to lie.
        hosts: names and addresses that the servers' certificate is to hold beside its own name, for
            clients that check the host.
        days: for how long the certificates are good.
        mutual: callers have to show a certificate as well.

    Raises:
        ValueError: there are keys already, or the certificates would never be good.
    """
    if (directory / AUTHORITY).exists():
        raise ValueError(f"{directory} holds keys already; for a new token: --renew worker")
    if days < 1:
        raise ValueError(f"days: {days}, need 1 at least")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority = _Authority(timedelta(days=days))
    names = [SERVER_NAME, "localhost", "127.0.0.1", *hosts]
    _write(directory / SERVER, authority.sign(ExtendedKeyUsageOID.SERVER_AUTH, names))
    if mutual:
        _write(directory / CLIENT, authority.sign(ExtendedKeyUsageOID.CLIENT_AUTH, []))
    for role in ROLES:
        renew(directory, role)
    _write(directory / AUTHORITY, authority.certificate, 0o644)  # last: with it they are whole


def renew(directory: Path, role: Role) -> None:
    """Makes a new token; the one before is refused from then on, also by servers that run."""
    _write(directory / token_file(role), f"{secrets.token_urlsafe(_TOKEN_BYTES)}\n".encode())


class _Authority:
    """Signs, and is forgotten."""

    def __init__(self, valid: timedelta) -> None:
        now = datetime.now(UTC)
        self._times = now - _SKEW, now + valid
        self._key = ec.generate_private_key(ec.SECP256R1())
        # A name of its own: of two by one name a handshake says that a signature is broken.
        self._name = _named(f"moma: a run's authority {secrets.token_hex(4)}")
        usage = x509.BasicConstraints(ca=True, path_length=0)
        built = self._builder(self._name, self._key).add_extension(usage, critical=True)
        self.certificate = _pem(built.sign(self._key, hashes.SHA256()))

    def sign(self, usage: ObjectIdentifier, names: Sequence[str]) -> bytes:
        """Returns a new certificate with its key.

        Args:
            usage: what it is for.
            names: hosts' names and addresses that it is to hold.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        built = self._builder(_named("moma"), key)
        built = built.add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        built = built.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if names:
            listed = x509.SubjectAlternativeName([_name(name) for name in dict.fromkeys(names)])
            built = built.add_extension(listed, critical=False)
        return _pem(built.sign(self._key, hashes.SHA256())) + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey
    ) -> x509.CertificateBuilder:
        first, last = self._times
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(first)
            .not_valid_after(last)
        )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _write(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Writes a file that nobody else could read at any time."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with os.fdopen(os.open(aside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
