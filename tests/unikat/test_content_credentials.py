"""Content Credentials: what is signed reads back as it is, by c2pa's own reader too; what was changed is named."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import c2pa
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from PIL import Image

from tests.support.content import FIRST, Signing, picture, time_stamps
from tests.support.processes import eventually
from unikat.content_credentials.about import ARTWORK, About, Training
from unikat.content_credentials.reading import State, read
from unikat.content_credentials.signing import MEDIA_TYPES, KeyFileSigner, SigningError, embed, sidecar


@pytest.fixture(scope="module")
def signing(tmp_path_factory: pytest.TempPathFactory) -> Signing:
    return Signing.make(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def signer(signing: Signing) -> KeyFileSigner:
    return signing.signer()


def stock(data: bytes, media_type: str) -> dict[str, Any]:
    """What c2pa's reader says, with its own settings."""
    with c2pa.Reader(media_type, BytesIO(data)) as reader:
        found: dict[str, Any] = json.loads(reader.json())
    return found


def pixels(data: bytes) -> bytes:
    with Image.open(BytesIO(data)) as image:
        return np.asarray(image).tobytes()


@pytest.mark.parametrize("media_type", MEDIA_TYPES)
def test_what_is_embedded_reads_back(media_type: str, signing: Signing, signer: KeyFileSigner) -> None:
    data = picture(media_type)
    signed = embed(data, media_type, FIRST, signer)
    assert pixels(signed) == pixels(data)
    assert len(signed) - len(data) < 4500
    report = read(signed, media_type, anchors=signing.root)
    assert (report.state, report.is_trusted, report.failures) == (State.VALID, True, ())
    assert (report.about, report.signer, report.time) == (FIRST, "A studio", None)
    assert report.generator.startswith("Unikat ")
    (action,) = report.assertions["c2pa.actions.v2"]["actions"]
    assert action["action"] == "c2pa.created"
    assert action["digitalSourceType"].endswith("/trainedAlgorithmicMedia")
    assert report.assertions["c2pa.soft-binding"]["alg"] == "unikat.mark.1"
    assert report.assertions["c2pa.ai-disclosure"]["modelIdentifier"] == FIRST.model_digest


@pytest.mark.parametrize("media_type", MEDIA_TYPES)
def test_the_reader_of_c2pa_accepts_it_as_it_comes(media_type: str, signer: KeyFileSigner) -> None:
    found = stock(embed(picture(media_type), media_type, FIRST, signer), media_type)
    assert found["validation_state"] == "Valid"
    failures = found["validation_results"]["activeManifest"]["failure"]
    assert [failure["code"] for failure in failures] in ([], ["signingCredential.untrusted"])
    manifest = found["manifests"][found["active_manifest"]]
    assert (manifest["claim_version"], manifest["title"]) == (2, f"portraits@1, seed {2**64 - 1}, image 3")
    assert "thumbnail" not in manifest


@pytest.mark.parametrize("media_type", MEDIA_TYPES)
def test_a_sidecar_is_of_its_picture_alone(media_type: str, signing: Signing, signer: KeyFileSigner) -> None:
    one, other = picture(media_type, 1), picture(media_type, 2)
    beside = sidecar(one, media_type, FIRST, signer)
    report = read(one, media_type, beside, signing.root)
    assert (report.state, report.is_trusted, report.about) == (State.VALID, True, FIRST)
    swapped = read(other, media_type, beside, signing.root)
    assert swapped.state == State.INVALID
    assert [failure.code for failure in swapped.failures] == ["assertion.dataHash.mismatch"]
    assert "credentials of another one" in swapped.failures[0].text
    assert read(one, media_type).state == State.NONE


def test_what_was_left_out_is_not_said(signing: Signing, signer: KeyFileSigner) -> None:
    about = replace(FIRST, background="", renderer=None, digest=b"", mark=b"", training=Training.ALLOWED)
    report = read(embed(picture("image/png"), "image/png", about, signer), "image/png")
    assert report.about == about
    assert "c2pa.soft-binding" not in report.assertions
    entries = report.assertions["cawg.training-mining"]["entries"]
    assert len(entries) == 4
    assert all(entry == {"use": "allowed"} for entry in entries.values())


@pytest.mark.parametrize("conditions", [{"a": 5}, {"a": {"x": 0}}, {"a": {"x": "y"}}, {"a": {}}, [], "text"])
def test_conditions_of_a_strangers_manifest_are_checked(conditions: object) -> None:
    said = {each["label"]: each["data"] for each in FIRST.manifest()["assertions"]}
    assert About.from_assertions(said) == FIRST
    said[ARTWORK] = said[ARTWORK] | {"conditions": conditions}
    found = About.from_assertions(said)
    assert found is None or found.conditions == {}


@pytest.mark.parametrize("media_type", MEDIA_TYPES)
def test_no_byte_of_a_picture_can_be_changed(media_type: str, signing: Signing, signer: KeyFileSigner) -> None:
    data = picture(media_type, size=8)
    signed = embed(data, media_type, FIRST, signer)
    box = signed.index(b"jumb")  # the credentials, with the length and number of their chunk before, and its CRC behind
    held = range(box - 20, box + len(sidecar(data, media_type, FIRST, signer)) + 12)
    assert len(signed) - len(held) > 100
    for at in set(range(len(signed))) - set(held):
        assert read(flipped(signed, at), media_type).state != State.VALID, at


def test_no_statement_can_be_changed(signing: Signing, signer: KeyFileSigner) -> None:
    data = picture("image/png")
    beside = sidecar(data, "image/png", FIRST, signer)
    before = read(data, "image/png", beside, signing.root)
    held: list[int] = []
    codes = set()
    for at in range(len(beside)):
        report = read(data, "image/png", flipped(beside, at), signing.root)
        assert report.state == State.INVALID or report == before, at
        codes |= {failure.code for failure in report.failures}
        held += [at] if report.state == State.VALID else []
    # Nothing is in them: lengths and kinds of boxes that readers go by other ways, and the padding of the signature.
    assert len([at for at in held if beside[at]]) < 120
    assert len(held) < 1200
    assert codes >= {
        "assertion.hashedURI.mismatch",
        "claimSignature.mismatch",
        "signingCredential.invalid",
        "unreadable",
    }


def flipped(data: bytes, at: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 0x40
    return bytes(changed)


def test_pixels_and_statements_that_change_are_told_apart(signing: Signing, signer: KeyFileSigner) -> None:
    signed = embed(picture("image/png"), "image/png", FIRST, signer)
    painted = read(flipped(signed, len(signed) - 40), "image/png", anchors=signing.root)
    assert [failure.code for failure in painted.failures] == ["assertion.dataHash.mismatch"]
    forged = read(signed.replace(b"portraits@1, seed", b"portraits@2, seed"), "image/png", anchors=signing.root)
    assert [failure.code for failure in forged.failures] == ["claimSignature.mismatch"]
    redrawn = read(signed.replace(b"0123456789abcdef", b"0123456789abcdee"), "image/png", anchors=signing.root)
    assert [failure.text for failure in redrawn.failures] == [
        "the statement unikat.artwork was changed after it was signed"
    ]


def test_who_is_trusted_is_the_readers_choice(signing: Signing, signer: KeyFileSigner, tmp_path: Path) -> None:
    signed = embed(picture("image/png"), "image/png", FIRST, signer)
    other = Signing.make(tmp_path, "Somebody else")
    for anchors in (None, other.root):
        report = read(signed, "image/png", anchors=anchors)
        assert (report.state, report.is_trusted) == (State.VALID, False)
    assert read(signed, "image/png", anchors=other.root + signing.root).is_trusted


def test_credentials_of_a_picture_that_has_some_are_replaced(signing: Signing, signer: KeyFileSigner) -> None:
    once = embed(picture("image/png"), "image/png", FIRST, signer)
    twice = embed(once, "image/png", replace(FIRST, index=4), signer)
    report = read(twice, "image/png")
    assert report.about is not None
    assert (report.state, report.about.index) == (State.VALID, 4)
    assert abs(len(twice) - len(once)) < 8


def test_what_is_no_picture_is_not_signed(signer: KeyFileSigner) -> None:
    with pytest.raises(ValueError, match="image/gif cannot carry"):
        embed(picture("image/png"), "image/gif", FIRST, signer)
    with pytest.raises(SigningError):
        embed(b"no picture", "image/png", FIRST, signer)


def test_whatever_is_read_is_reported(signing: Signing, signer: KeyFileSigner) -> None:
    data = picture("image/png")
    beside = sidecar(data, "image/png", FIRST, signer)
    for wrong in (b"", b"\0", b"jumb" * 100, beside[:-1], beside[: len(beside) // 2], beside * 2):
        report = read(data, "image/png", wrong)
        assert report.state != State.VALID or wrong == beside * 2
    assert read(b"", "image/png").state == State.INVALID
    assert read(data[:50], "image/png").state == State.INVALID


def test_eight_threads_share_a_signer(signing: Signing, signer: KeyFileSigner) -> None:
    data = {index: picture("image/png", index) for index in range(160)}
    with ThreadPoolExecutor(8) as pool:
        signed = list(pool.map(lambda i: embed(data[i], "image/png", replace(FIRST, index=i), signer), data))
        reports = list(pool.map(lambda each: read(each, "image/png", anchors=signing.root), signed))
    for index, report in enumerate(reports):
        assert report.about is not None
        assert (report.state, report.about.index, pixels(signed[index])) == (State.VALID, index, pixels(data[index]))


def write(folder: Path, certificate: bytes, key: bytes) -> tuple[Path, Path]:
    chain, private = folder / "some.crt", folder / "some.key"
    chain.write_bytes(certificate)
    private.write_bytes(key)
    return chain, private


PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


def pem(key: PrivateKey, password: bytes = b"") -> bytes:
    secret = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret)


def test_keys_that_would_sign_nothing_valid_are_refused(signing: Signing, tmp_path: Path) -> None:
    certificate, key = (file.read_bytes() for file in signing.files)
    private = load_pem_private_key(key, None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    authority = signing.authority
    tls = authority.issue_client("a caller", 1)
    expired = authority.issue_signer("late", -1 / 86400)
    wrong = {
        "not of this key": (certificate, pem(ec.generate_private_key(ec.SECP256R1()))),
        "must be ECDSA on P-256 or P-384, or Ed25519": (certificate, pem(rsa.generate_private_key(65537, 2048))),
        "without a password": (certificate, pem(private, b"secret")),
        "not a certificate": (b"nothing", key),
        "extended key usage": (tls.certificate, tls.key),
        "not valid at time of signing": (expired.certificate, expired.key),
    }
    for text, files in wrong.items():
        with pytest.raises(ValueError, match=text):
            KeyFileSigner(*write(tmp_path, *files))
    with pytest.raises(FileNotFoundError):
        KeyFileSigner(tmp_path / "none.crt", tmp_path / "none.key")


@pytest.mark.parametrize("key", [ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP384R1())])
def test_other_kinds_of_keys_sign(
    key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey, signing: Signing, tmp_path: Path
) -> None:
    issued = x509.load_pem_x509_certificate(signing.files[0].read_bytes())
    builder = x509.CertificateBuilder(
        issued.issuer, issued.subject, key.public_key(), 7, issued.not_valid_before_utc, issued.not_valid_after_utc
    )
    for extension in issued.extensions:
        if not isinstance(extension.value, x509.SubjectKeyIdentifier):
            builder = builder.add_extension(extension.value, extension.critical)
    root = load_pem_private_key(signing_key(signing), None)
    assert isinstance(root, ec.EllipticCurvePrivateKey)
    certificate = builder.sign(root, hashes.SHA256()).public_bytes(Encoding.PEM)
    signer = KeyFileSigner(*write(tmp_path, certificate, pem(key)))
    report = read(embed(picture("image/webp"), "image/webp", FIRST, signer), "image/webp", anchors=signing.root)
    assert (report.state, report.is_trusted) == (State.VALID, True)


def signing_key(signing: Signing) -> bytes:
    """The authority's key (PEM)."""
    signing.authority.save(signing.folder, "ca")
    return (signing.folder / "ca.key").read_bytes()


@pytest.fixture
def clock(tmp_path: Path) -> Iterator[tuple[str, bytes]]:
    with time_stamps(tmp_path / "clock") as authority:
        yield authority


def test_a_time_stamp_outlives_the_certificate(tmp_path: Path, clock: tuple[str, bytes]) -> None:
    url, clock_root = clock
    short = Signing.make(tmp_path / "keys", days=2 / 86400)
    data = picture("image/png")
    plain = embed(data, "image/png", FIRST, short.signer())
    stamped = embed(data, "image/png", FIRST, short.signer(url))
    anchors = short.root + clock_root
    assert read(plain, "image/png", anchors=anchors).state == State.VALID
    eventually(lambda: read(plain, "image/png", anchors=anchors).state == State.INVALID, deadline=10)
    expired = read(plain, "image/png", anchors=anchors)
    assert [failure.code for failure in expired.failures] == ["signingCredential.expired"]
    report = read(stamped, "image/png", anchors=anchors)
    assert (report.state, report.is_trusted, report.is_time_trusted) == (State.VALID, True, True)
    assert report.time is not None
    # Anybody can be an authority of time: one that is not trusted proves nothing.
    alone = read(stamped, "image/png", anchors=short.root)
    assert (alone.state, alone.is_time_trusted) == (State.INVALID, False)


def test_an_authority_of_time_that_does_not_answer_is_an_error(signing: Signing) -> None:
    with pytest.raises(SigningError):
        embed(picture("image/png"), "image/png", FIRST, signing.signer("http://127.0.0.1:9/"))
