"""Mixes, mutations, shifts and walks through the whole path: what was drawn by one can be drawn again, to the byte."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.end_to_end.stack import Stack, running_stack
from tests.support.tiny_model import write_tiny_bundle
from unikat import BatchState, Plan, Studio
from unikat.artwork import Artwork
from unikat.batches.layout import MANIFEST
from unikat.batches.verify import pick, verify
from unikat.cli import app
from unikat.cli.batch.redraw import draw_again
from unikat.cli.problems import BAD_INPUT, Problem
from unikat.errors import InvalidRequest
from unikat.metadata import read_statement
from unikat.recipes.artwork import parse_link
from unikat.recipes.mix import mix_of
from unikat.recipes.sequence import Mutations, Walk
from unikat.recipes.text import parse_mix, text_of, vector_bytes
from unikat.request import sent_where

pytestmark = pytest.mark.xdist_group("recipes")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that is opened to batches."""
    return tmp_path_factory.mktemp("out")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, out: Path) -> Iterator[Stack]:
    """A model with two directions, and one whose attributes exclude blends."""
    models = tmp_path_factory.mktemp("models")
    write_tiny_bundle(models, directions=2)
    with running_stack(models, workers=2, fsync="no", UNIKAT_DESTINATIONS=str(out)) as running:
        yield running


@pytest.fixture(scope="module")
def studio(stack: Stack) -> Iterator[Studio]:
    with Studio(stack.target) as connected:
        yield connected


def one(studio: Studio, recipe: str, **options: str) -> Artwork:
    return studio.draw("tiny", recipe=recipe, **options)  # type: ignore[arg-type]  # formats only


def redrawn(studio: Studio, artwork: Artwork) -> Artwork:
    """By the recipe that the artwork carries."""
    again = artwork.recipe
    return studio.draw(again.model, sent_where(again.where), recipe=again.mix, truncation=again.truncation)


def test_a_point_as_a_recipe_is_the_image_of_the_seed(studio: Studio) -> None:
    plain = studio.draw("tiny", seed=7, index=3)
    for recipe in ("7:3", "7:3*0.25,7:3*0.5", "7:3*12"):
        found = one(studio, recipe)
        assert (found.digest, found.data, found.conditions) == (plain.digest, plain.data, plain.conditions)
    assert (plain.mix, found.mix) == (None, mix_of([((7, 3), 1.0)]))


def test_a_mutation_of_radius_0_is_the_work_and_of_1_a_stranger(studio: Studio) -> None:
    parent = studio.draw("tiny", {"style": "ink"}, seed=7, index=3)
    (same,) = studio.vary(parent.recipe, 0.0, count=1)
    assert (same.digest, same.data) == (parent.digest, parent.data)
    strangers = list(studio.vary(parent.recipe, 1.0, count=2, seed=40))
    for index, stranger in enumerate(strangers):
        plain = studio.draw("tiny", parent.conditions, seed=40, index=index)
        assert (stranger.digest, stranger.data) == (plain.digest, plain.data)


def test_variations_are_drawn_again_alone_and_varied_on(studio: Studio) -> None:
    parent = studio.draw("tiny", seed=7, index=3)
    family = list(studio.vary(parent.recipe, 0.3, count=5, seed=11))
    assert len({artwork.digest for artwork in family}) == 5
    assert [artwork.index for artwork in family] == list(range(5))
    again = redrawn(studio, family[3])
    assert (again.digest, again.data) == (family[3].digest, family[3].data)
    alone = studio.draw("tiny", parent.conditions, recipe=Mutations(parent.recipe.mix, 0.3, 11), index=3)
    assert (alone.digest, alone.index) == (family[3].digest, 3)
    (grandchild,) = studio.vary(family[3].recipe, 0.5, count=1, seed=12)
    assert len(grandchild.recipe.mix.points) == 3
    assert redrawn(studio, grandchild).data == grandchild.data


def test_two_works_are_crossed_and_their_conditions_blended(studio: Studio) -> None:
    ink = studio.draw("tiny", {"style": "ink", "subject": "sea"}, seed=7)
    oil = studio.draw("tiny", {"style": "oil", "subject": "sea"}, seed=8)
    (child,) = studio.cross(ink.recipe, oil.recipe)
    assert text_of(child.recipe.mix) == "7:0*0.70710677,8:0*0.70710677"
    assert child.conditions == {"style": {"ink": 0.5, "oil": 0.5}, "subject": "sea"}
    assert redrawn(studio, child).data == child.data
    (same,) = studio.cross(ink.recipe, oil.recipe, 0.0)
    assert same.digest == ink.digest
    (twin,) = studio.cross(ink.recipe, ink.recipe)
    assert twin.digest == ink.digest
    with pytest.raises(InvalidRequest, match="share"):
        studio.cross(ink.recipe, oil.recipe, 1.5)


def test_conditions_left_open_are_those_of_the_points_by_the_squares_of_their_weights(studio: Studio) -> None:
    points = [studio.draw("tiny", seed=seed) for seed in range(20, 26)]
    one, other = next((a, b) for a in points for b in points if a.conditions["style"] != b.conditions["style"])
    mixed = studio.draw("tiny", recipe=mix_of([((one.seed, 0), 0.6), ((other.seed, 0), 0.8)]))
    assert mixed.conditions["style"] == pytest.approx(
        {one.conditions["style"]: 0.36, other.conditions["style"]: 0.64}, abs=1e-6
    )
    assert redrawn(studio, mixed).data == mixed.data


def test_a_direction_moves_the_picture_and_an_unknown_one_is_refused_with_those_there_are(studio: Studio) -> None:
    assert [direction.name for direction in studio.model("tiny").directions] == ["1", "2"]
    plain, moved = one(studio, "7:3"), one(studio, "7:3,shift:2*3")
    assert moved.digest != plain.digest
    assert not np.array_equal(moved.array(), plain.array())
    assert one(studio, "7:3,shift:2*1,shift:2*2").data == moved.data
    assert one(studio, "7:3,shift:2*0").data == plain.data
    with pytest.raises(InvalidRequest) as refused:
        one(studio, "7:3,shift:smile*1")
    assert refused.value.fields == {"recipe.shifts[0].direction": 'unknown direction "smile"; choose from "1", "2"'}


def test_a_vector_is_drawn_mixed_and_asks_for_conditions(studio: Studio) -> None:
    size = studio.model("tiny").latent_size
    vector = mix_of([(vector_bytes([0.25] * size), 1.0)])
    found = studio.draw("tiny", {"style": "ink", "subject": "sea"}, recipe=vector)
    assert redrawn(studio, found).data == found.data
    (variation,) = studio.vary(found.recipe, 0.2, count=1)
    assert variation.digest != found.digest
    with pytest.raises(InvalidRequest, match="subject"):
        studio.draw("tiny", {"style": "ink"}, recipe=vector)
    with pytest.raises(InvalidRequest, match=f"must have {size} numbers"):
        studio.draw("tiny", {"style": "ink", "subject": "sea"}, recipe=mix_of([(vector_bytes([0.25] * 3), 1.0)]))


def test_frames_of_a_walk_are_artworks_that_are_drawn_alone_as_well(studio: Studio) -> None:
    walk = Walk(tuple(map(parse_mix, ("7:0", "9:3", "7:0*0.6,11:0*0.8,shift:1*2"))), 12, loop=True, smooth=True)
    frames = list(studio.generate("tiny", walk=walk))
    assert [frame.index for frame in frames] == list(range(12))
    assert len({frame.digest for frame in frames}) == 12
    for at, recipe in ((0, "7:0"), (4, "9:3")):
        assert one(studio, recipe).data == frames[at].data
    for at in (1, 6, 11):
        assert studio.draw("tiny", walk=walk, index=at).data == frames[at].data
        assert redrawn(studio, frames[at]).data == frames[at].data
    some = list(studio.generate("tiny", walk=walk, first_index=10))
    assert [frame.data for frame in some] == [frame.data for frame in frames[10:]]
    with pytest.raises(InvalidRequest, match="count"):
        list(studio.generate("tiny", walk=walk, first_index=10, count=3))


def test_a_file_and_a_link_say_the_recipe(studio: Studio) -> None:
    found = one(studio, "7:3*0.6,9:0*0.8,shift:1*1.5")
    statement = read_statement(found.data)
    assert statement is not None
    assert statement.recipe is not None
    assert (statement.digest, statement.own) == (found.digest, found.digest)
    assert statement.recipe.mix == found.mix
    with Image.open(BytesIO(found.data)) as picture:
        assert '"recipe": "7:3*0.6,9:0*0.8,shift:1*1.5"' in json.dumps(picture.info["xmp"].decode()).replace("\\", "")
    opened = parse_link(found.recipe.link)
    assert opened == found.recipe


def test_a_batch_draws_recipes_and_walks_whatever_their_place(studio: Studio, out: Path) -> None:
    """Two shards cut the walk in the middle."""
    walk = Walk((parse_mix("7:0"), parse_mix("9:3,shift:2*1")), 6)
    mutations = Mutations(parse_mix("7:3"), 0.3, 11)
    plans = [
        Plan({}, 2),
        Plan({"style": "ink"}, 3, recipe=mutations),
        Plan({}, 6, walk=walk),
        Plan({}, 1, recipe="7:3"),
    ]
    batch = studio.create_batch("tiny", to=out / "recipes", plans=plans, seed=5, shard_size=7, layout="webdataset")
    assert list(studio.watch_batch(batch.id))[-1].state == BatchState.SUCCEEDED
    rows = pq.read_table(out / "recipes" / MANIFEST).to_pylist()
    assert [row["recipe"] is None for row in rows] == [True] * 2 + [False] * 10
    frames = list(studio.generate("tiny", walk=walk))
    assert [row["id"] for row in rows[5:11]] == [frame.id for frame in frames]
    family = list(studio.generate("tiny", {"style": "ink"}, recipe=mutations, count=3))
    assert [row["id"] for row in rows[2:5]] == [artwork.id for artwork in family]
    assert rows[11]["id"] == studio.draw("tiny", seed=7, index=3).id
    assert verify(str(out / "recipes")).is_complete
    again = draw_again(studio, partial(pick, str(out / "recipes")), 12, lambda done, count: None)
    assert (again.count, again.different) == (12, [])
    packed = CliRunner().invoke(app, ["sprites", str(out / "recipes"), "-o", str(out / "sprites")])
    assert packed.exit_code == 0, packed.output
    frames_of = json.loads((out / "sprites" / "atlas.json").read_text())["frames"]
    for row in rows:
        facts = frames_of[f"tiny-s5-{row['index']:05}"]["unikat"]
        place = {"seed": "5", "index": row["index"]} if row["recipe"] is None else {"recipe": row["recipe"]}
        assert {name: facts[name] for name in facts.keys() & {"seed", "index", "recipe"}} == place
    assert studio.batch(batch.id).plans[1:3] == (Plan({"style": "ink"}, 3, mutations), Plan({}, 6, walk=walk))


def test_a_wrong_recipe_of_a_batch_is_refused_with_its_field(studio: Studio, out: Path) -> None:
    plans = [Plan({}, 2, recipe="7:3"), Plan({}, 7, walk=Walk((parse_mix("7:0"), parse_mix("7:0*-1")), 6))]
    with pytest.raises(InvalidRequest) as refused:
        studio.create_batch("tiny", to=out / "wrong", plans=plans)
    assert set(refused.value.fields) == {"plans[0].count", "plans[1].walk.keyframes[1]"}


def run(stack: Stack, *words: str) -> dict[str, object]:
    """What a command says of the last image, as JSON."""
    result = CliRunner().invoke(app, [*words, "--json", "--target", stack.target])
    assert result.exit_code == 0, (result.output, result.exception)
    artworks = [found for line in result.stdout.splitlines() if (found := json.loads(line))["event"] == "artwork"]
    return {**artworks[-1], "count": len(artworks)}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("generate tiny --recipe 7:3 -n 5", "--count: must be 1, not 5"),
        ("generate tiny --recipe 7:3 -n 16 --estimate", "--count: must be 1, not 16"),
        ("generate tiny --recipe 7:3 --seed 0", "--seed: must be left out"),
        ("generate tiny --recipe 7:3 --first-index 2", "--first-index: must be 0, not 2"),
        ("vary tiny@1:7:3 --strength 3", "--strength: does nothing without --direction"),
        ("vary tiny@1:7:3 --direction 2 --radius 0.3", "--radius: does nothing with --direction"),
        ("vary tiny@1:7:3 --direction 2 --seed 0", "--seed: does nothing with --direction"),
    ],
)
def test_a_flag_that_would_do_nothing_is_refused_by_name(stack: Stack, tmp_path: Path, words: str, said: str) -> None:
    error = CliRunner().invoke(app, [*words.split(), "-o", str(tmp_path / "out"), "--target", stack.target]).exception
    assert isinstance(error, Problem)
    assert (error.message.startswith(said), error.code) == (True, BAD_INPUT), error.message
    assert not (tmp_path / "out").exists()


def test_a_work_is_typed_as_a_file_a_link_or_a_place(stack: Stack, studio: Studio, tmp_path: Path) -> None:
    out = ["-o", str(tmp_path)]
    parent = run(stack, "generate", "tiny", "--recipe", "7:3*0.6,9:0*0.8", "--where", "style=ink", *out)
    child = run(stack, "vary", str(parent["file"]), "-n", "2", "--radius", "0.25", "--seed", "11", *out)
    assert child["count"] == 2
    by_link = run(stack, "vary", str(parent["link"]), "-n", "2", "--radius", "0.25", "--seed", "11", *out)
    assert (by_link["id"], by_link["file"]) == (child["id"], child["file"])
    crossed = run(stack, "cross", str(child["file"]), "tiny@1:20", "--share", "0.3", *out)
    again = parse_link(str(crossed["link"]))
    assert studio.draw(again.model, sent_where(again.where), recipe=again.mix).id == crossed["id"]
    along = run(stack, "vary", str(child["file"]), "-n", "3", "--direction", "2", "--strength", "1.5", *out)
    assert (along["count"], str(along["recipe"])) == (3, f"{child['recipe']},shift:2*1.5")
    result = CliRunner().invoke(app, ["vary", "nothing.png", "--target", stack.target])
    assert "neither a file, a link nor model:seed:index" in str(result.exception)
