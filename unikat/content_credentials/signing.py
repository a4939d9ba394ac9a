"""Who signs, and signing: credentials in the file (`embed`), or apart from it (`sidecar`)."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Final, Protocol

import c2pa
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat
from cryptography.hazmat.primitives.serialization import NoEncryption as Plain
from PIL import Image

from unikat import pem
from unikat.artwork import SUFFIXES
from unikat.content_credentials.about import About
from unikat.content_credentials.reading import State, read

MEDIA_TYPES: Final = tuple(SUFFIXES)

# No thumbnail and no reading back of what was signed: a hundredth of the time (`python -m benchmarks.credentials`).
_SETTINGS: Final = {
    "version": 1,
    "builder": {"thumbnail": {"enabled": False}},
    "verify": {"verify_after_sign": False},
}
_PROFILE: Final = (
    "The certificate must be valid now, and have a critical key usage digitalSignature, an extended key usage "
    "(emailProtection, documentSigning or C2PA's claimSigning) and an authority key identifier"
)
_CURVES: Final = {"secp256r1": "es256", "secp384r1": "es384"}


class SigningError(Exception):
    """It cannot be signed: the file is not of its type, or the time-stamp authority does not answer."""


class Signer(Protocol):
    """Whose credentials they are. Threads share it."""

    @property
    def context(self) -> c2pa.Context:
        """c2pa's context with its signer, as `signing_context` makes it."""


def signing_context(signer: c2pa.Signer) -> c2pa.Context:
    """A context that signs with a signer of c2pa, `Signer.from_callback` for a key that is not to be seen."""
    return c2pa.Context.from_dict(_SETTINGS, signer=signer)


class KeyFileSigner:
    """Signs with a key in a file (PEM): ECDSA on P-256 or P-384, or Ed25519.

    `chain` has the signer's certificate, then those between it and the root. With `time_stamp_url`, an RFC 3161
    authority is asked to sign the time with every picture: then the signature outlives the certificate.
    """

    def __init__(self, chain: Path, key: Path, time_stamp_url: str = "") -> None:
        """Raises OSError for files that cannot be read, ValueError for what no reader would accept."""
        certificates, private = chain.read_bytes(), key.read_bytes()
        algorithm, checked = _checked(certificates, private, f"{chain}, {key}")

        def context(url: str | None) -> c2pa.Context:
            return signing_context(c2pa.Signer.from_info(c2pa.C2paSignerInfo(algorithm, certificates, checked, url)))

        try:
            self._context = context(None)
            _try(self)  # without the authority: the service starts without it
            self._context = context(time_stamp_url) if time_stamp_url else self._context
        except (c2pa.C2paError, SigningError) as error:
            raise ValueError(f"{chain}, {key}: {error}. {_PROFILE}") from error

    @property
    def context(self) -> c2pa.Context:
        return self._context


def embed(data: bytes, media_type: str, about: About, signer: Signer) -> bytes:
    """The file with credentials in it; its pixels are the same.

    Credentials that it had are replaced. Raises SigningError; ValueError for a type that is none of MEDIA_TYPES.
    """
    signed = BytesIO()
    _sign(_builder(about, signer), data, media_type, signed)
    return signed.getvalue()


def sidecar(data: bytes, media_type: str, about: About, signer: Signer) -> bytes:
    """Credentials of the file as they are kept beside it, `application/c2pa`; raises as `embed`."""
    builder = _builder(about, signer)
    builder.set_no_embed()
    return _sign(builder, data, media_type, BytesIO())


def _builder(about: About, signer: Signer) -> c2pa.Builder:
    return c2pa.Builder(about.manifest(), signer.context)  # it signs once


def _sign(builder: c2pa.Builder, data: bytes, media_type: str, signed: BytesIO) -> bytes:
    if media_type not in MEDIA_TYPES:
        raise ValueError(f"{media_type} cannot carry credentials here: only {', '.join(MEDIA_TYPES)}")
    try:
        manifest: bytes = builder.sign(media_type, BytesIO(data), signed)
    except c2pa.C2paError as error:
        raise SigningError(str(error)) from error
    return manifest


def _checked(certificates: bytes, private: bytes, where: str) -> tuple[str, bytes]:
    """The key's algorithm, and the key as c2pa reads it. Raises ValueError where the two do not belong together."""
    try:
        key = pem.private_key(private)
        matches = pem.public_bytes(pem.certificates(certificates)[0]) == pem.public_bytes(key)
    except ValueError as error:
        raise ValueError(f"{where}: not a certificate and its key without a password, both PEM: {error}") from error
    if isinstance(key, ed25519.Ed25519PrivateKey):
        algorithm = "ed25519"
    elif isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        algorithm = _CURVES[key.curve.name]
    else:
        raise ValueError(f"{where}: the key must be ECDSA on P-256 or P-384, or Ed25519")
    if not matches:
        raise ValueError(f"{where}: the first certificate is not of this key")
    return algorithm, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, Plain())


def _try(signer: Signer) -> None:
    """Sign a pixel and read it back. Raises SigningError with what readers would say."""
    picture = BytesIO()
    Image.new("L", (1, 1)).save(picture, "PNG")
    about = About("try@1", "", "", 0, 0, {}, 1.0)
    report = read(embed(picture.getvalue(), "image/png", about, signer), "image/png")
    if report.state != State.VALID:
        raise SigningError("; ".join(failure.text for failure in report.failures))
