"""Signers of Content Credentials, pictures to sign, and a time-stamp authority (RFC 3161): OpenSSL's, behind HTTP."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from threading import Lock, Thread
from typing import Final

import numpy as np
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from PIL import Image

from unikat.artwork import Renderer
from unikat.cli.authority import Authority
from unikat.content_credentials.about import About
from unikat.content_credentials.signing import KeyFileSigner

FIRST: Final = About(
    model="portraits@1", model_digest="sha256:" + "ab" * 32, artwork_id="0123456789abcdef", seed=2**64 - 1, index=3,
    conditions={"hair_color": {"blue": 0.25, "pink": 0.75}, "style": "micah"}, truncation=0.699999988079071,
    background="#ffffffff", renderer=Renderer("CPUExecutionProvider", "onnxruntime 1.32.0", "x86_64", "png-3"),
    digest=bytes(range(32)), mark=bytes(range(4)),
)  # fmt: skip

_TSA_SETTINGS: Final = """\
[tsa]
default_tsa = authority
[authority]
serial = serial
signer_cert = tsa.crt
certs = ca.crt
signer_key = tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
ess_cert_id_alg = sha256
"""


def picture(media_type: str, seed: int = 1, size: int = 16) -> bytes:
    """A file of noise."""
    noise = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    file = BytesIO()
    Image.fromarray(noise).save(
        file, media_type.removeprefix("image/"), **({"lossless": True} if "webp" in media_type else {})
    )
    return file.getvalue()


@dataclass
class Signing:
    """An authority, and files of a certificate that it signed."""

    authority: Authority
    folder: Path

    @classmethod
    def make(cls, folder: Path, name: str = "A studio", days: float = 1) -> Signing:
        authority = Authority.create(f"{name} root")
        authority.issue_signer(name, days).save(folder, "sign")
        return cls(authority, folder)

    @property
    def files(self) -> tuple[Path, Path]:
        return self.folder / "sign.crt", self.folder / "sign.key"

    @property
    def root(self) -> bytes:
        return self.authority.root

    def signer(self, time_stamp_url: str = "") -> KeyFileSigner:
        return KeyFileSigner(*self.files, time_stamp_url)


@contextmanager
def time_stamps(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Address and root (PEM) of an authority that runs until the end of the block."""
    folder.mkdir()
    root = _write_authority(folder)
    answering = Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = self.rfile.read(int(self.headers["Content-Length"]))
            with answering:  # OpenSSL counts serial numbers in a file
                (folder / "query").write_bytes(query)
                command = ["openssl", "ts", "-reply", "-queryfile", "query", "-config", "settings"]
                reply = subprocess.run(command, cwd=folder, check=True, capture_output=True).stdout
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/", root
        finally:
            server.shutdown()
            thread.join()


def _write_authority(folder: Path) -> bytes:
    """Files of an authority, whose root is returned (PEM)."""
    pair = Authority.create("Clock root")
    pair.save(folder, "ca")
    issuer = x509.load_pem_x509_certificate(pair.root)
    template = pair.issue_signer("Clock", 1)
    issued = x509.load_pem_x509_certificate(template.certificate)
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateBuilder(
        issuer.subject, x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Clock")]), key.public_key(), 2,
        issued.not_valid_before_utc, issued.not_valid_after_utc,
    )  # fmt: skip
    for extension in issued.extensions:
        if not isinstance(extension.value, (x509.ExtendedKeyUsage, x509.SubjectKeyIdentifier)):
            builder = builder.add_extension(extension.value, extension.critical)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True)
    signed = builder.sign(pair._key, hashes.SHA256())
    (folder / "tsa.crt").write_bytes(signed.public_bytes(Encoding.PEM))
    (folder / "tsa.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (folder / "serial").write_text("01")
    (folder / "settings").write_text(_TSA_SETTINGS)
    return pair.root
