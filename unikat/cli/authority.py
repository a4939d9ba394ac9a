"""A certificate authority of one's own: what it signs, and how keys lie on the disk.

ECDSA keys on P-256, which every TLS library takes; X.509 extensions as RFC 5280 and the verifiers of gRPC (BoringSSL)
and OpenSSL ask for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from unikat import pem
from unikat.files import write_whole

COMMON_NAME: Final = "Unikat authority"
AUTHORITY_DAYS: Final = 3650
CLOCK_SKEW: Final = timedelta(minutes=5)  # a client whose clock is behind can use a certificate that is new


@dataclass(frozen=True)
class KeyPair:
    """A private key, its certificate, and that of the authority which signed it; PEM, all three."""

    key: bytes
    certificate: bytes
    root: bytes

    def save(self, folder: Path, name: str) -> None:
        """Write <name>.key (for its owner only), <name>.crt and ca.crt, each in one step. Raises OSError."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(folder / f"{name}.key", self.key, 0o600)
        write_whole(folder / f"{name}.crt", self.certificate, 0o644)
        write_whole(folder / "ca.crt", self.root, 0o644)


class Authority:
    """Signs certificates."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self._key, self._certificate = key, certificate

    @classmethod
    def create(cls, name: str = COMMON_NAME) -> Authority:
        key, subject = _new_key(), _named(name)
        usage = _usage(key_cert_sign=True, crl_sign=True)
        builder = _begun(subject, subject, key, AUTHORITY_DAYS).add_extension(usage, critical=True)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        return cls(key, builder.sign(key, hashes.SHA256()))

    @classmethod
    def load(cls, folder: Path) -> Authority:
        """Of a folder to which one was saved as "ca". Raises OSError, ValueError for files that are none."""
        key = pem.private_key((folder / "ca.key").read_bytes())
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError(f"{folder / 'ca.key'} is not a key that `unikat keys init` made")
        return cls(key, pem.certificates((folder / "ca.crt").read_bytes())[0])

    @property
    def root(self) -> bytes:
        """Its own certificate (PEM), which is to be trusted."""
        return self._certificate.public_bytes(Encoding.PEM)

    def save(self, folder: Path, name: str) -> None:
        """As `KeyPair.save`."""
        KeyPair(_pem(self._key), self.root, self.root).save(folder, name)

    def issue_server(self, names: Sequence[str], days: float) -> KeyPair:
        """For a service under host names and IP addresses. It may be shown as a client's: to check its own health."""
        usages = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
        alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
        return self._issue(_named("unikat-service"), days, usages, alternatives)

    def issue_client(self, name: str, days: float) -> KeyPair:
        """For a caller."""
        return self._issue(_named(name), days, (ExtendedKeyUsageOID.CLIENT_AUTH,))

    def issue_signer(self, name: str, days: float) -> KeyPair:
        """For Content Credentials of `name`, which readers show: with the one usage that all of them take."""
        # C2PA 2.4, "X.509 certificates", asks for an organization.
        return self._issue(_named(name, name), days, (ExtendedKeyUsageOID.EMAIL_PROTECTION,))

    def _issue(
        self,
        subject: x509.Name,
        days: float,
        usages: Iterable[x509.ObjectIdentifier],
        alternatives: x509.SubjectAlternativeName | None = None,
    ) -> KeyPair:
        key = _new_key()
        builder = _begun(subject, self._certificate.subject, key, days)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(digital_signature=True), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = builder.add_extension(identifier, critical=False)
        if alternatives is not None:
            builder = builder.add_extension(alternatives, critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        return KeyPair(_pem(key), certificate.public_bytes(Encoding.PEM), self.root)


def names_in(certificate: bytes) -> list[str]:
    """Host names and IP addresses that a certificate (PEM) is for. Raises ValueError if it is none."""
    try:
        extensions = pem.certificates(certificate)[0].extensions
        found = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    except (x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise ValueError(str(error)) from error
    return [*found.get_values_for_type(x509.DNSName), *map(str, found.get_values_for_type(x509.IPAddress))]


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: float
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - CLOCK_SKEW).not_valid_after(now + timedelta(days=days))
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)


def _usage(digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature, key_cert_sign=key_cert_sign, crl_sign=crl_sign, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _general_name(name: str) -> x509.GeneralName:
    """Raises ValueError for what is neither a host name nor an IP address."""
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _named(name: str, organization: str = "") -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
    if organization:
        attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(attributes)


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
