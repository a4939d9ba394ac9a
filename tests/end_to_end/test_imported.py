"""A generator of others: imported at the command line, served by real processes, drawn as its own file draws."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from tests.end_to_end.stack import Stack, running_stack
from tests.training.foreign_graphs import Z, write_dcgan, write_index
from tests.unikat.test_cli import unikat
from unikat import Studio
from unikat.bundle import read_bundle
from unikat.errors import InvalidRequest
from unikat.sampling import latents

pytestmark = pytest.mark.xdist_group("imported")
CREDIT = ("--licence", "CC-BY-4.0", "--author", "Ada")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two files of others, and `models` with the bundles that were made of them."""
    folder = tmp_path_factory.mktemp("imported")
    (folder / "labels.json").write_text('{"mood": ["calm", "gay", "grim", "odd", "wild"]}')
    write_dcgan(folder / "dcgan.onnx")
    write_index(folder / "moods.onnx")
    plain = (
        "--range",
        "-1..1",
        "--latent",
        str(Z),
        "--layout",
        "nchw",
        "--out",
        str(folder / "models" / "dcgan" / "1"),
    )
    moods = (
        "--range",
        "0..255",
        "--labels",
        str(folder / "labels.json"),
        "--out",
        str(folder / "models" / "moods" / "1"),
    )
    for name, flags in (("dcgan", plain), ("moods", moods)):
        done = unikat("models", "import", str(folder / f"{name}.onnx"), *flags, *CREDIT)
        assert (done.returncode, done.stdout.strip()) == (0, flags[-1]), done.stderr
        assert "latent" in done.stderr
    return folder


@pytest.fixture(scope="module")
def stack(folder: Path) -> Iterator[Stack]:
    with running_stack(folder / "models", fsync="no") as running:
        yield running


def test_images_are_those_of_the_imported_file(stack: Stack, folder: Path) -> None:
    read_bundle(folder / "models" / "dcgan" / "1").verify()
    session = onnxruntime.InferenceSession(folder / "dcgan.onnx", providers=["CPUExecutionProvider"])
    with Studio(stack.target) as studio:
        artworks = list(studio.generate("dcgan", count=9, seed=7, truncation=0.75))
    assert len(artworks) == 9
    for artwork in artworks:
        latent = latents(7, [artwork.index], Z) * np.float32(0.75)
        (values,) = session.run(None, {"noise": latent.reshape(1, Z, 1, 1)})
        expected = np.rint((values[0].transpose(1, 2, 0) + 1) * 127.5)
        assert np.abs(artwork.array() - expected).max() <= 1


def test_a_category_is_drawn_by_its_number(stack: Stack, folder: Path) -> None:
    session = onnxruntime.InferenceSession(folder / "moods.onnx", providers=["CPUExecutionProvider"])
    moods = ["calm", "gay", "grim", "odd", "wild"]
    with Studio(stack.target) as studio:
        artworks = list(studio.generate("moods", {"mood": "grim"}, count=4, seed=3))
        artworks += studio.generate("moods", count=8, seed=3)
    assert {artwork.conditions["mood"] for artwork in artworks[:4]} == {"grim"}
    assert len({artwork.conditions["mood"] for artwork in artworks[4:]}) > 1  # left open: any of them
    for artwork in artworks:
        label = np.array([moods.index(str(artwork.conditions["mood"]))])
        (values,) = session.run(None, {"z": latents(3, [artwork.index], Z), "label": label})
        assert np.abs(artwork.array() - np.rint(values[0])).max() <= 1


def test_a_blend_of_categories_that_have_numbers_is_refused(stack: Stack) -> None:
    blend = {"mood": {"calm": 0.5, "wild": 0.5}}
    with Studio(stack.target) as studio, pytest.raises(InvalidRequest, match="cannot blend") as raised:
        studio.draw("moods", blend)
    assert list(raised.value.fields) == ["conditions[0].blend.weights"]
    told = unikat("generate", "moods", "--where", "mood=calm,wild", UNIKAT_TARGET=stack.target)
    assert told.returncode == 2
    said = " ".join(told.stderr.split())
    assert "--where mood=calm" in said
    assert 'this model cannot blend "mood"; name one category of "calm", "wild"' in said


def test_the_command_line_shows_and_draws_it(stack: Stack, tmp_path: Path) -> None:
    shown = unikat("models", "show", "moods", UNIKAT_TARGET=stack.target)
    assert shown.returncode == 0
    for words in ("CC-BY-4.0", "Ada", "calm, gay, grim, odd, wild (one an image: no blends)"):
        assert words in shown.stdout
    everything = unikat("models", "show", "moods", "--all", UNIKAT_TARGET=stack.target)
    assert "parity_max_grey_levels = 0" in everything.stdout
    credits = unikat("models", "show", "moods", "--credits", UNIKAT_TARGET=stack.target)
    assert credits.stdout == "Drawn by the model moods@1 (CC-BY-4.0) by Ada.\n"
    done = unikat(
        "generate", "moods", "--where", "mood=odd", "-n", "3", "-o", str(tmp_path), UNIKAT_TARGET=stack.target
    )
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("moods@1-*.png"))) == 3


def test_what_cannot_be_imported_ends_with_the_flag_and_no_traceback(folder: Path) -> None:
    out = ("--out", str(folder / "models" / "other" / "1"))
    for flags, words in (
        (("--range", "0..1", *out, "--licence", "MIT"), "--author"),
        (("--range", "0..2", *out, *CREDIT), "-1..1"),
        (("--range", "0..1", *out, *CREDIT, "--latent", "7"), "can be the latent of 7 numbers"),
    ):
        done = unikat("models", "import", str(folder / "dcgan.onnx"), *flags)
        assert done.returncode == 2
        assert words in done.stderr
    assert not (folder / "models" / "other").exists()
