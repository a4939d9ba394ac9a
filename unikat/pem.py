"""Keys and certificates in PEM that somebody gives: one kind of error for what `cryptography` does not take."""

from __future__ import annotations

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509 import Certificate, InvalidVersion, load_pem_x509_certificates


def private_key(pem: bytes) -> PrivateKeyTypes:
    """A key without a password. Raises ValueError."""
    try:
        return load_pem_private_key(pem, None)
    except (TypeError, UnsupportedAlgorithm) as error:  # TypeError: it has a password
        raise ValueError(str(error)) from error


def certificates(pem: bytes) -> list[Certificate]:
    """One at least. Raises ValueError."""
    try:
        return load_pem_x509_certificates(pem)
    except (InvalidVersion, UnsupportedAlgorithm) as error:
        raise ValueError(str(error)) from error


def public_bytes(of: Certificate | PrivateKeyTypes) -> bytes:
    """The public key of a certificate, or of a private key, as DER. Raises ValueError."""
    try:
        return of.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except UnsupportedAlgorithm as error:
        raise ValueError(str(error)) from error
