"""A model with alpha: its drawings over any colour, or over nothing."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.end_to_end.stack import Stack, running_stack
from tests.support.atlas import godot_frames, hash_frames
from tests.support.tiny_model import write_tiny_bundle
from unikat import Studio
from unikat.batches.verify import pick, verify
from unikat.cli import app
from unikat.cli.problems import Problem
from unikat.errors import InvalidRequest
from unikat.metadata import read_statement
from unikat.recipes.sequence import Walk
from unikat.recipes.text import parse_mix
from unikat.request import sent_where

pytestmark = pytest.mark.xdist_group("background")

TOMATO = (255, 99, 71)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that is opened to batches."""
    return tmp_path_factory.mktemp("out")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, out: Path) -> Iterator[Stack]:
    """A model with alpha and one without."""
    models = tmp_path_factory.mktemp("models")
    write_tiny_bundle(models)
    write_tiny_bundle(models, "person", alpha=True)
    with running_stack(models, fsync="no", UNIKAT_DESTINATIONS=str(out)) as running:
        yield running


@pytest.fixture
def studio(stack: Stack) -> Iterator[Studio]:
    with Studio(stack.target) as connected:
        yield connected


def test_a_drawing_lies_over_the_colour_that_is_asked_for(studio: Studio) -> None:
    sticker = studio.draw("person", seed=5, background="none")
    drawing = sticker.array()
    assert drawing.shape == (16, 16, 4)
    assert sticker.background == "#00000000"
    alpha = drawing[..., 3]
    assert (alpha == 0).any()
    assert (alpha == 255).any()
    over = studio.draw("person", seed=5, background="tomato")
    picture = over.array()
    assert (over.background, picture.shape) == ("#ff6347ff", (16, 16, 3))
    assert over.accepted is not None
    assert over.accepted.background == "#ff6347ff"
    assert (picture[alpha == 0] == TOMATO).all()
    assert (picture[alpha == 255] == drawing[alpha == 255][:, :3]).all()
    share = alpha[..., None] / 255
    composite = share * drawing[..., :3] + (1 - share) * np.array(TOMATO)
    assert np.abs(picture - composite).max() < 2  # grey levels: alpha is rounded in one of them
    assert len({sticker.id, over.id, studio.draw("person", seed=5).id}) == 3


def test_without_a_background_it_is_white(studio: Studio) -> None:
    plain, white = studio.draw("person", seed=3), studio.draw("person", seed=3, background="#ffffff")
    assert plain.background == white.background == "#ffffffff"
    assert (plain.data, plain.id) == (white.data, white.id)


def test_images_of_several_backgrounds_and_formats_are_drawn_together(studio: Studio) -> None:
    asked = [("none", "png"), ("#12345678", "webp"), ("navy", "jpeg"), ("navy", "png"), ("", "webp")]
    alone = [studio.draw("person", seed=9, background=background, format=name) for background, name in asked]
    calls = [studio.generate("person", seed=9, background=background, format=name) for background, name in asked]
    assert [[artwork.data for artwork in call] for call in calls] == [[artwork.data] for artwork in alone]
    modes = [artwork.image().mode for artwork in alone]
    assert modes == ["RGBA", "RGBA", "RGB", "RGB", "RGB"]


@pytest.mark.parametrize(
    ("model", "background", "format", "words"),
    [
        ("person", "no-colour", "png", "no-colour"),
        ("person", "none", "jpeg", "JPEG has no transparency"),
        ("person", "#00000080", "jpeg", "opaque"),
        ("tiny", "white", "png", "tiny@1 draws what is behind"),
    ],
)
def test_a_background_that_cannot_be_is_refused(
    studio: Studio, out: Path, model: str, background: str, format: str, words: str
) -> None:
    with pytest.raises(InvalidRequest, match=words) as drawn:
        studio.draw(model, background=background, format=format)
    with pytest.raises(InvalidRequest, match=words) as queued:
        studio.create_batch(model, to=out / "refused", background=background, format=format)
    for raised in (drawn, queued):
        assert list(raised.value.fields) == ["background"]


@pytest.mark.parametrize("layout", ["files", "webdataset"])
def test_a_batch_has_one_background_and_every_image_can_be_drawn_again(studio: Studio, out: Path, layout: str) -> None:
    folder = out / layout
    batch = studio.create_batch("person", to=folder, count=40, seed=2, background="none", layout=layout, shard_size=16)
    assert batch.background == "#00000000"
    for seen in studio.watch_batch(batch.id):
        batch = seen
    assert batch.drawn == 40
    report = verify(str(folder))
    assert report.is_intact, report
    assert set(pq.read_table(folder / "manifest.parquet")["background"].to_pylist()) == {"#00000000"}
    for picked in pick(str(folder), 5, seed=1):
        again = studio.draw("person", index=picked.index, seed=picked.seed, background=picked.background)
        assert (again.data, again.id) == (picked.data, picked.id)
        assert again.image().mode == "RGBA"


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [*map(str, arguments)])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def test_sprites_are_drawn_on_nothing_and_say_how_to_draw_them_again(
    stack: Stack, studio: Studio, tmp_path: Path
) -> None:
    where = ("--where", "style=ink:3,oil:1")
    target = ("--target", stack.target)
    said = run(
        "sprites", "person", *where, "-n", "9", "--seed", str(2**64 - 1), "--trim", "-o", tmp_path / "a", *target
    )
    drawn = list(studio.generate("person", {"style": {"ink": 3, "oil": 1}}, count=9, seed=2**64 - 1, background="none"))
    frames, (shown, *_) = hash_frames(tmp_path / "a"), godot_frames(tmp_path / "a").values()
    entries = json.loads((tmp_path / "a" / "atlas.json").read_text("utf-8"))["frames"]
    for artwork, sprite in zip(drawn, shown, strict=True):
        name = f"person-s{2**64 - 1}-{artwork.index:05}"
        pixels = np.where(artwork.array()[..., 3:] > 0, artwork.array(), 0)
        for cut in (frames[name], sprite):
            assert np.array_equal(np.where(cut[..., 3:] > 0, cut, 0), pixels)
        facts = entries[name]["unikat"]
        assert (facts["id"], facts["index"], facts["model"]) == (artwork.id, artwork.index, "person@1")
        assert (facts["seed"], facts["background"]) == (str(2**64 - 1), "#00000000")
        again = studio.draw(
            facts["model"], facts["conditions"], index=facts["index"], seed=int(facts["seed"]),
            truncation=facts["truncation"], background=facts["background"],
        )  # fmt: skip
        assert again.id == facts["id"]
    before = {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()}
    for path in (tmp_path / "a").iterdir():
        path.unlink()
    run(*shlex.split(said.rpartition("The same again: ")[2])[1:], *target)
    assert {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()} == before


def test_sprites_of_files_and_of_batches_are_those_that_are_drawn(
    stack: Stack, studio: Studio, out: Path, tmp_path: Path
) -> None:
    common = ("-n", "6", "--seed", "4", "--background", "none", "--target", stack.target)
    run("generate", "person", *common, "-o", tmp_path / "files")
    folders = [tmp_path / "files"]
    for layout in ("files", "webdataset"):
        folders.append(out / f"sprites-{layout}")
        run("batch", "create", "person", *common, "--to", folders[-1], "--layout", layout, "--watch")
    run("sprites", "person", "-n", "6", "--seed", "4", "-o", tmp_path / "drawn", "--target", stack.target)
    drawn = (tmp_path / "drawn" / "atlas.png").read_bytes()
    entries = (tmp_path / "drawn" / "atlas.json").read_bytes()
    for folder in folders:
        run("sprites", folder, "-o", tmp_path / f"of {folder.name}")
        assert (tmp_path / f"of {folder.name}" / "atlas.png").read_bytes() == drawn
    for folder in folders[1:]:
        assert (tmp_path / f"of {folder.name}" / "atlas.json").read_bytes() == entries


def test_sprites_of_a_model_without_alpha_have_a_ground(stack: Stack, tmp_path: Path) -> None:
    run("sprites", "tiny", "-n", "2", "-o", tmp_path, "--target", stack.target)
    assert all((pixels[..., 3] == 255).all() for pixels in hash_frames(tmp_path).values())


def test_a_series_says_of_every_banner_from_what_it_was_made(stack: Stack, studio: Studio, tmp_path: Path) -> None:
    spec = tmp_path / "brand.toml"
    spec.write_text(
        'model = "person"\nseed = 5\npalette = ["#1d2440", "tomato"]\ngrounds = ["white", "none"]\n'
        'conditions.style = "ink"\nsubjects.a.subject = "sea"\n[subjects.b]\n[sizes]\nwide = "90x20"\nlow = "64x64"\n'
    )
    run("series", spec, "-o", tmp_path / "out", "--target", stack.target)
    entries = json.loads((tmp_path / "out" / "series.json").read_text())
    assert [entry["file"] for entry in entries[:3]] == ["a-000-wide.png", "a-000-low.png", "b-000-wide.png"]
    assert len(entries) == 4
    for entry in entries:
        path, recipe = tmp_path / "out" / entry["file"], entry["recipe"]
        said = read_statement(path.read_bytes())
        assert said is not None
        assert (said.is_ours, said.digest, said.recipe) == (True, b"", None)  # it is not the artwork itself
        assert (said.source.hex(), said.changes) == (entry["made_from"], entry["changes"])
        artwork = studio.draw(
            recipe["model"], recipe["conditions"], index=recipe["index"], seed=int(recipe["seed"]),
            truncation=recipe["truncation"], background=recipe["background"], attempt=recipe["attempt"],
        )  # fmt: skip
        assert artwork.digest.hex() == entry["made_from"]
        assert (tmp_path / "out" / entry["drawing"]).read_bytes() == artwork.data
        assert json.loads(said.prompt)["index"] == recipe["index"]
        with Image.open(path) as banner:
            assert banner.size == (entry["width"], entry["height"])
    assert "Made from an artwork: scaled by whole pixels" in run("verify", tmp_path / "out" / "a-000-low.png")
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir() if path.is_file()}
    run("series", spec, "-o", tmp_path / "out", "--target", stack.target)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir() if path.is_file()} == before


def test_a_series_is_compared_with_its_model_before_anything_is_drawn(stack: Stack, tmp_path: Path) -> None:
    spec = tmp_path / "brand.toml"
    for line, said in (
        ('subjects.b.subject = "hil"\n', 'subjects.b.subject: unknown category "hil"; did you mean "hill"?'),
        ('conditions.stile = "ink"\n', 'conditions.stile: unknown attribute "stile"; did you mean "style"?'),
        ('sizes.low = "64x8"\n', "sizes.low: the drawing has 16 x 16 pixels and does not fit"),
    ):
        spec.write_text(f'model = "person"\nseed = 5\nsizes.wide = "90x20"\n{line}')
        with pytest.raises(Problem, match=re.escape(said)):
            CliRunner().invoke(
                app,
                ["series", str(spec), "-o", str(tmp_path / "out"), "--target", stack.target],
                catch_exceptions=False,
            )
        assert not (tmp_path / "out").exists()


def test_a_film_is_the_frames_of_its_walk(stack: Stack, studio: Studio, tmp_path: Path) -> None:
    way = ("--from", "7:0", "--to", "9:3", "--frames", "4", "--loop", "--scale", "1", "--where", "style=ink")
    said = run("animate", "person", *way, "--background", "none", "-o", tmp_path / "walk.png", "--target", stack.target)
    walk = Walk((parse_mix("7:0"), parse_mix("9:3")), 4, loop=True)
    drawn = list(studio.generate("person", {"style": "ink"}, walk=walk, background="none"))
    data = (tmp_path / "walk.png").read_bytes()
    with Image.open(tmp_path / "walk.png") as film:
        for number, artwork in enumerate(drawn):
            film.seek(number)
            assert np.array_equal(np.asarray(film.convert("RGBA")), np.asarray(artwork.image().convert("RGBA")))
    assert len(drawn) == 4
    statement = read_statement(data)
    assert statement is not None
    assert json.loads(statement.prompt)["walk"] == walk.to_json()
    run(*shlex.split(said.rpartition("The same again: ")[2])[1:], "--target", stack.target)
    assert (tmp_path / "walk.png").read_bytes() == data


def test_a_film_goes_from_a_file_to_a_link_under_their_conditions(stack: Stack, studio: Studio, tmp_path: Path) -> None:
    where = {"style": "ink"}
    ends = [studio.draw("person", where, seed=seed, background="tomato", truncation=0.5) for seed in (7, 9)]
    ends[0].save(tmp_path / "one.png")
    way = ("--from", tmp_path / "one.png", "--to", ends[1].recipe.link, "--frames", "2", "--scale", "1")
    said = run("animate", "person", *way, "-o", tmp_path / "walk.png", "--target", stack.target)
    data = (tmp_path / "walk.png").read_bytes()
    with Image.open(tmp_path / "walk.png") as film:
        for number, artwork in enumerate(ends):
            film.seek(number)
            assert np.array_equal(np.asarray(film.convert("RGB")), artwork.array())
    (tmp_path / "one.png").unlink()  # its link is in the command that is printed
    run(*shlex.split(said.rpartition("The same again: ")[2])[1:], "--target", stack.target)
    assert (tmp_path / "walk.png").read_bytes() == data


@pytest.mark.parametrize("loop", [False, True])
def test_a_film_goes_from_condition_to_condition(stack: Stack, studio: Studio, tmp_path: Path, loop: bool) -> None:
    # They leave the subject out: each has its own, which is blended, too.
    one, other, last = (
        studio.draw("person@1", {"style": style}, recipe=place, truncation=by).recipe
        for place, style, by in (("7:0", "ink", 0.5), ("8:0", "oil", 1.0), ("9:3", "oil", 1.0))
    )
    assert len({str(work.where["subject"]) for work in (one, other, last)}) > 1
    ends = [f"unikat:person?recipe={place}&truncation={by}" for place, by in (("7:0", "0.5"), ("8:0", "1"))]
    way = ("--from", f"{ends[0]}&style=ink", "--to", f"{ends[1]}&style=oil", "--to", "9:3", "--scale", "1")
    again = ("--frames", "6", "--loop") if loop else ("--frames", "5")
    said = run("animate", "person", *way, *again, "-o", tmp_path / "walk.png", "--target", stack.target)
    works = [one, one.crossed(other), other, other.crossed(last), last, *([last.crossed(one)] if loop else [])]
    data = (tmp_path / "walk.png").read_bytes()
    with Image.open(tmp_path / "walk.png") as film:
        assert getattr(film, "n_frames") == len(works)  # noqa: B009  (mypy does not know it)
        for number, work in enumerate(works):
            film.seek(number)
            drawn = studio.draw(work.model, sent_where(work.where), recipe=work.mix, truncation=work.truncation)
            assert np.array_equal(np.asarray(film.convert("RGB")), drawn.array())
    statement = read_statement(data)
    assert statement is not None
    assert json.loads(statement.prompt)["works"] == [one.link, other.link, last.link]
    run(*shlex.split(said.rpartition("The same again: ")[2])[1:], "--target", stack.target)
    assert (tmp_path / "walk.png").read_bytes() == data


def test_works_that_make_no_film_are_refused(stack: Stack, studio: Studio) -> None:
    ink, oil = (studio.draw("person", {"style": style}, seed=7).recipe.link for style in ("ink", "oil"))
    for start, end, said in (
        (ink, oil.replace("style=oil", "style=fresco"), "style=fresco"),
        (ink, oil.replace("7:0", "7:0*-1"), "--to unikat:person@1?recipe=7:0*-1"),
        ("tiny:7:0", ink, "--from tiny:7:0: is of tiny, not of person@1"),
        ("tiny:7:0", "9:3", "--from tiny:7:0: is of tiny, not of person"),
        ("person:7", "none.png", "--to none.png: must be seed:index, a mix such as"),
        ("7:0", f"{ink}&truncation=high", "--to unikat:"),
    ):
        words = ["animate", "person", "--from", start, "--to", end, "--target", stack.target]
        with pytest.raises(Problem, match=re.escape(said)):
            CliRunner().invoke(app, words, catch_exceptions=False)


def test_a_film_that_cannot_be_is_refused_before_it_is_drawn(stack: Stack, tmp_path: Path) -> None:
    way = ("animate", "person", "--from", "7:0", "--target", stack.target)
    for wrong, said in (
        (("--to", "9", "-o", "a.webp"), "--to 9: "),
        (("--to", "9:3", "-o", "a.gif"), "--out a.gif: the name must end in .webp, .png, .mp4"),
        (("--to", "9:3", "--background", "none", "-o", "a.mp4"), "--background none: MP4 has no alpha"),
    ):
        with pytest.raises(Problem, match=re.escape(said)):
            CliRunner().invoke(app, [*way, *wrong], catch_exceptions=False)
