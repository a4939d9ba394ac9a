"""Content Credentials through the whole path: the service signs on the way to the caller, and only if it is asked."""

from __future__ import annotations

import io
import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from tests.end_to_end.stack import Stack, running_stack
from tests.support.content import Signing, time_stamps
from tests.support.processes import ROOT, Program, free_port
from tests.support.tiny_model import write_tiny_bundle
from unikat import Studio
from unikat.artwork import Artwork
from unikat.cli import app
from unikat.cli.problems import BAD_INPUT, Problem
from unikat.content_credentials.about import Training
from unikat.content_credentials.reading import Report, State, read
from unikat.content_credentials.settings import CredentialsSettings
from unikat.errors import InvalidRequest, Reason, Unavailable, WrongState

pytestmark = pytest.mark.xdist_group("signed")

FORMATS = ("png", "webp", "jpeg")


@pytest.fixture(scope="module")
def signing(tmp_path_factory: pytest.TempPathFactory) -> Signing:
    return Signing.make(tmp_path_factory.mktemp("keys"))


def key_of(signing: Signing) -> dict[str, str]:
    certificate, key = map(str, signing.files)
    return {"UNIKAT_CREDENTIALS_CERT": certificate, "UNIKAT_CREDENTIALS_KEY": key}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, signing: Signing) -> Iterator[Stack]:
    models = tmp_path_factory.mktemp("models")
    write_tiny_bundle(models)
    with running_stack(models, 1, "no", **key_of(signing)) as running:
        yield running
        assert running.service is not None
        assert "Traceback" not in running.service.output


@pytest.fixture
def studio(stack: Stack) -> Iterator[Studio]:
    with Studio(stack.target) as connected:
        yield connected


@contextmanager
def another_service(stack: Stack, **settings: str) -> Iterator[Studio]:
    """Beside the stack's, for the same workers: with these settings and no key, unless they have one."""
    target = f"127.0.0.1:{free_port()}"
    common = {name: value for name, value in stack.env.items() if not name.startswith("UNIKAT_CREDENTIALS")}
    service = Program("unikat_service", env=common | {"UNIKAT_LISTEN": target} | settings)
    try:
        service.wait_for_line("service ready")
        with Studio(target, reconnect_timeout=0.5) as studio:
            yield studio
        assert "Traceback" not in service.output
    finally:
        service.kill()


def report_on(artwork: Artwork, signing: Signing) -> Report:
    return read(artwork.data, artwork.media_type, artwork.credentials or None, signing.root)


def assert_tells(report: Report, artwork: Artwork) -> None:
    """The report is of this artwork, and good."""
    assert (report.state, report.is_trusted, report.failures) == (State.VALID, True, ())
    about = report.about
    assert about is not None
    assert (about.model, about.model_digest, about.artwork_id) == ("tiny@1", artwork.model_digest, artwork.id)
    assert (about.seed, about.index, about.truncation) == (artwork.seed, artwork.index, artwork.truncation)
    assert (about.conditions, about.background, about.renderer) == (
        artwork.conditions,
        artwork.background,
        artwork.renderer,
    )


@pytest.mark.parametrize("image_format", FORMATS)
def test_embedded_credentials_tell_how_to_draw_it_again(studio: Studio, signing: Signing, image_format: str) -> None:
    plain = list(studio.generate("tiny", count=4, seed=2**64 - 1, format=image_format))
    generation = studio.generate("tiny", count=4, seed=2**64 - 1, format=image_format, credentials="embedded")
    signed = list(generation)
    assert generation.finished is not None
    for one, other in zip(plain, signed, strict=True):
        assert (one.id, one.credentials, other.credentials) == (other.id, b"", b"")
        assert (one.array() == other.array()).all()
        assert read(one.data, one.media_type).state == State.NONE
        assert_tells(report_on(other, signing), other)
    about = report_on(signed[2], signing).about
    assert about is not None
    again = studio.draw(about.model, about.conditions, seed=about.seed, index=about.index, truncation=about.truncation)
    assert image_format == "jpeg" or (again.array() == signed[2].array()).all()


@pytest.mark.parametrize("image_format", FORMATS)
def test_a_sidecar_leaves_the_bytes_as_they_are(
    studio: Studio, signing: Signing, image_format: str, tmp_path: Path
) -> None:
    plain = list(studio.generate("tiny", count=2, seed=5, format=image_format))
    signed = list(studio.generate("tiny", count=2, seed=5, format=image_format, credentials="sidecar"))
    assert [one.data for one in plain] == [one.data for one in signed]
    for one in signed:
        assert_tells(report_on(one, signing), one)
    first, second = signed
    assert read(first.data, first.media_type, second.credentials).state == State.INVALID
    path = first.save(tmp_path / "first")
    assert (path.read_bytes(), path.with_suffix(".c2pa").read_bytes()) == (first.data, first.credentials)
    plain[0].save(tmp_path / "plain")
    assert not (tmp_path / "plain.c2pa").exists()


def test_draw_signs_as_generate_does(studio: Studio, signing: Signing) -> None:
    plain = studio.draw("tiny", seed=9, index=3)
    embedded = studio.draw("tiny", seed=9, index=3, credentials="embedded")
    apart = studio.draw("tiny", seed=9, index=3, credentials="sidecar")
    assert plain.data == apart.data != embedded.data
    assert embedded.accepted is not None
    assert embedded.accepted.model == "tiny@1"
    for one in (embedded, apart):
        assert_tells(report_on(one, signing), one)


def test_a_request_id_stands_for_the_images_signed_or_not(stack: Stack, studio: Studio, signing: Signing) -> None:
    wish = {"count": 3, "seed": 4, "request_id": "signed-or-not"}
    jobs = len(stack.jobs())
    plain = [one.data for one in studio.generate("tiny", **wish)]  # type: ignore[arg-type]  # of several types
    signed = list(studio.generate("tiny", **wish, credentials="embedded"))  # type: ignore[arg-type]
    apart = list(studio.generate("tiny", **wish, credentials="sidecar"))  # type: ignore[arg-type]
    assert [one.data for one in apart] == plain
    for one in (*signed, *apart):
        assert_tells(report_on(one, signing), one)
    assert len(stack.jobs()) == jobs + 1


def test_calls_that_are_signed_side_by_side_get_their_own(studio: Studio, signing: Signing) -> None:
    calls = {seed: studio.generate("tiny", count=20, seed=seed, credentials="embedded") for seed in range(8)}
    for seed, call in calls.items():
        found = list(call)
        assert [one.index for one in found] == list(range(20))
        for one in found:
            assert one.seed == seed
            assert_tells(report_on(one, signing), one)


def test_a_service_without_a_key_says_what_it_takes(stack: Stack) -> None:
    with another_service(stack) as keyless:
        jobs = len(stack.jobs())
        for ask in (
            lambda: keyless.draw("tiny", credentials="sidecar"),
            lambda: list(keyless.generate("tiny", credentials="embedded")),
        ):
            with pytest.raises(WrongState, match=r"credentials: .*--credentials-cert and --credentials-key") as refused:
                ask()
            assert refused.value.reason == Reason.NO_SIGNER
        assert len(stack.jobs()) == jobs
        assert keyless.draw("tiny", seed=1).credentials == b""
        with pytest.raises(InvalidRequest, match="none, sidecar, embedded"):
            keyless.draw("tiny", credentials="engraved")


def test_the_time_is_signed_by_an_authority_or_the_call_comes_back(
    stack: Stack, signing: Signing, tmp_path: Path
) -> None:
    with time_stamps(tmp_path / "clock") as (url, root):
        settings = key_of(signing) | {
            "UNIKAT_CREDENTIALS_TIME_STAMP_URL": url,
            "UNIKAT_CREDENTIALS_TRAINING": "allowed",
        }
        with another_service(stack, **settings) as stamping:
            signed = stamping.draw("tiny", seed=1, credentials="sidecar")
    report = read(signed.data, signed.media_type, signed.credentials, signing.root + root)
    assert (report.state, report.is_time_trusted) == (State.VALID, True)
    assert report.about is not None
    assert report.about.training == Training.ALLOWED
    with another_service(stack, **settings) as stranded:
        with pytest.raises(Unavailable, match="drawn, but cannot be signed") as failed:
            stranded.draw("tiny", seed=1, credentials="sidecar")
        assert failed.value.reason == Reason.SIGNER_FAILED
        assert stranded.draw("tiny", seed=1).data == signed.data


def test_a_key_that_signs_nothing_valid_is_told_at_the_start(stack: Stack, signing: Signing, tmp_path: Path) -> None:
    tls = signing.authority.issue_client("a caller", 1)
    tls.save(tmp_path, "tls")
    files = ["--credentials-cert", str(tmp_path / "tls.crt"), "--credentials-key", str(tmp_path / "tls.key")]
    command = [sys.executable, "-m", "unikat_service", "--redis-url", stack.valkey.url, "--allow-volatile", *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "extended key usage" in done.stderr
    assert "Traceback" not in done.stderr
    with pytest.raises(typer.BadParameter, match="--credentials-key go together"):
        CredentialsSettings(credentials_cert=tmp_path / "tls.crt")


def unikat(*arguments: str | Path, code: int = 0) -> str:
    done = CliRunner().invoke(app, [*map(str, arguments)])
    assert done.exit_code == code, done.output
    return done.output


def test_what_the_command_line_saves_it_can_show(stack: Stack, signing: Signing, tmp_path: Path) -> None:
    root = tmp_path / "root.pem"
    root.write_bytes(signing.root)
    at = ("--target", stack.target, "-n", "2", "--seed", "7")
    told = unikat("generate", "tiny", *at, "--credentials", "sidecar", "-o", tmp_path / "apart")
    assert shlex.split(told.strip().splitlines()[-1].partition("The same again: ")[2]).count("sidecar") == 1
    pictures = sorted((tmp_path / "apart").glob("tiny@1-*.png"))
    assert [each.with_suffix(".c2pa").is_file() for each in pictures] == [True, True]
    shown = unikat("credentials", "show", pictures[0], "--trust", root)
    assert all(word in shown for word in ("valid", "A studio", "tiny@1", "notAllowed"))
    assert "of no authority that you trust" in unikat("credentials", "show", pictures[0])
    swapped = unikat("credentials", "show", pictures[0], "--sidecar", pictures[1].with_suffix(".c2pa"), code=1)
    assert "invalid" in swapped
    lines = unikat("generate", "tiny", *at, "--credentials", "embedded", "--json", "-o", tmp_path / "in").splitlines()
    first = json.loads(lines[0])
    assert "sidecar" not in first
    shown_as = json.loads(unikat("credentials", "show", first["file"], "--json", "--trust", root))
    assert (shown_as["state"], shown_as["is_trusted"], shown_as["about"]["artwork_id"]) == ("valid", True, first["id"])
    with Image.open(first["file"]) as one, Image.open(pictures[0]) as other:
        assert np.asarray(one).tobytes() == np.asarray(other).tobytes()


def test_pictures_without_credentials_and_other_files_are_told_apart(tmp_path: Path) -> None:
    plain = io.BytesIO()
    Image.new("RGB", (4, 4)).save(plain, "PNG")
    (tmp_path / "plain.png").write_bytes(plain.getvalue())
    assert "none" in unikat("credentials", "show", tmp_path / "plain.png", code=1)
    for wrong in (["plain.gif"], ["missing.png"], ["plain.png", "--trust", str(tmp_path / "plain.png")]):
        done = CliRunner().invoke(app, ["credentials", "show", str(tmp_path / wrong[0]), *wrong[1:]])
        assert isinstance(done.exception, Problem)
        assert done.exception.code == BAD_INPUT
