"""Credentials that others may have written are read by a process with little memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.content import FIRST, Signing, picture
from unikat.content_credentials.apart import read_apart
from unikat.content_credentials.reading import State, read
from unikat.content_credentials.signing import embed, sidecar

PNG = "image/png"


@pytest.fixture(scope="module")
def signing(tmp_path_factory: pytest.TempPathFactory) -> Signing:
    return Signing.make(tmp_path_factory.mktemp("keys"))


def test_what_is_read_apart_is_the_same(signing: Signing) -> None:
    data, signer = picture(PNG), signing.signer()
    beside = sidecar(data, PNG, FIRST, signer)
    whole = read_apart(data, PNG, beside, signing.root)
    assert (whole.state, whole.is_trusted, whole) == (State.VALID, True, read(data, PNG, beside, signing.root))
    signed = embed(data, PNG, FIRST, signer)
    assert read_apart(signed, PNG) == read(signed, PNG)
    assert read_apart(data, PNG) == read(data, PNG)
    with pytest.raises(ValueError, match="PEM"):
        read_apart(data, PNG, anchors=b"none")


def test_a_length_that_credentials_claim_is_not_believed(tmp_path: Path, signing: Signing) -> None:
    data = picture(PNG)
    beside = sidecar(data, PNG, FIRST, signing.signer())
    assert beside.count(b"jbackground") == 1  # CBOR's text of 10 bytes; "z" is the head of one whose length follows
    (tmp_path / "bomb").write_bytes(beside.replace(b"jbackground", b"zbackground"))
    (tmp_path / "picture").write_bytes(data)
    code = (
        "import resource, sys\nfrom pathlib import Path\nfrom unikat.content_credentials.apart import read_apart\n"
        "data, beside = (Path(name).read_bytes() for name in sys.argv[1:])\n"
        "print(read_apart(data, 'image/png', beside).state)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "picture"), str(tmp_path / "bomb")]
    state, kilobytes = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert state == "invalid"
    assert int(kilobytes) < 400_000
