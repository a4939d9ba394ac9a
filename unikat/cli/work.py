"""A work as it is typed: a file that Unikat drew, a link, or model:seed:index."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from unikat.cli.problems import BAD_INPUT, Problem

if TYPE_CHECKING:  # other commands need neither NumPy nor Pillow
    from unikat.recipes.artwork import ArtworkRecipe

HELP = "A file that Unikat drew, whose metadata say from what; a link (unikat:...); or model:seed:index."


@dataclass(frozen=True)
class TypedWork:
    """What draws it. `model_digest` and the bytes `picture` are those of a file; a JPEG has no pixels to compare."""

    recipe: ArtworkRecipe
    model_digest: str = ""
    picture: bytes = b""


def read_work(what: str) -> TypedWork:
    """Raises Problem for what is none of the three."""
    from unikat.recipes.artwork import SCHEME, ArtworkRecipe, parse_link
    from unikat.recipes.text import parse_mix

    if is_file(what):
        return _of_file(Path(what))
    if what.startswith(SCHEME):
        try:
            return TypedWork(parse_link(what))
        except ValueError as error:
            raise Problem(f"{what}: {error}", code=BAD_INPUT) from error
    model, _, place = what.partition(":")
    try:
        mix = parse_mix(place if ":" in place else f"{place}:0")
    except ValueError as error:
        raise Problem(f"{what}: neither a file, a link nor model:seed:index", code=BAD_INPUT) from error
    return TypedWork(ArtworkRecipe(model, mix))


def is_file(typed: str) -> bool:
    """Whether it is a file's path; a recipe of vectors is longer than any."""
    try:
        return Path(typed).is_file()
    except OSError:
        return False


def _of_file(file: Path) -> TypedWork:
    from unikat.artwork import SUFFIXES
    from unikat.conditions import where_of_weights
    from unikat.metadata import read_statement
    from unikat.recipes.artwork import ArtworkRecipe
    from unikat.recipes.mix import mix_of

    data = file.read_bytes()
    try:
        said = read_statement(data)
    except (OSError, SyntaxError) as error:
        raise Problem(f"{file}: not a picture that can be read: {error}", code=BAD_INPUT) from error
    if said is None or not said.is_ours or said.recipe is None:
        hint = "Say what draws it: model:seed:index, with --where, or a link"
        raise Problem(f"{file} does not say what it was drawn from", hint, code=BAD_INPUT)
    found = said.recipe
    mix = found.mix or mix_of([((found.seed, found.index), 1.0)])
    recipe = ArtworkRecipe(
        found.model, mix, where_of_weights(found.weights), found.truncation, found.background, found.attempt
    )
    is_lossy = data[:2] == b"\xff\xd8" or file.suffix.lower() in SUFFIXES["image/jpeg"]
    return TypedWork(recipe, found.model_digest, b"" if is_lossy else data)
