"""What image files say of themselves: read back by Pillow, the same for the same artwork, refused where changed."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from unikat.identity import artwork_digest, short_id
from unikat.metadata import (
    GENERATED,
    MAX_PACKET,
    Derivation,
    Packets,
    Recipe,
    png_info,
    read_statement,
    recipe_text,
)
from unikat_worker.encoding import Pixels, encode

RECIPE = Recipe(
    "portraits@1",
    "sha256:" + "3a" * 32,
    {"style": {"notion": 1.0}, "hair": {"long & <loose>": 0.25, "Zöpfe": 0.75}},
    2**64 - 1,
    7,
    float(np.float32(0.9)),
    "#ff000080",
)
ENCODERS = ("png-3", "webp-2", "jpeg-2")


def packet_of(recipe: Recipe) -> bytes:
    """As a worker makes it."""
    text = recipe_text(recipe.weights, recipe.truncation, recipe.background)
    return Packets(recipe.model, recipe.model_digest).packet(
        recipe.digest, (recipe.seed, recipe.index), recipe.attempt, text
    )


def picture(channels: int = 3) -> Pixels:
    """A batch of one."""
    return np.random.default_rng(1).integers(0, 256, (1, 24, 20, channels), dtype=np.uint8)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_file_says_from_what_it_was_drawn(encoder: str) -> None:
    (file,) = encode(picture(), encoder, [packet_of(RECIPE)])
    said = read_statement(file)
    assert said is not None
    assert said.is_ours
    assert said.system == "Unikat, portraits@1"
    assert said.recipe == RECIPE
    assert said.digest == RECIPE.digest == said.recipe.digest


@pytest.mark.parametrize(
    ("encoder", "channels"), [(e, c) for e in ENCODERS for c in (1, 3, 4) if e != "jpeg-2" or c < 4]
)
def test_metadata_change_no_pixel(encoder: str, channels: int) -> None:
    (plain,), (told,) = encode(picture(channels), encoder), encode(picture(channels), encoder, [packet_of(RECIPE)])
    before, after = (Image.open(io.BytesIO(file)) for file in (plain, told))
    assert (before.mode, before.size) == (after.mode, after.size)
    assert before.tobytes() == after.tobytes()
    assert len(told) - len(plain) < 1500
    assert read_statement(plain) is None


def test_images_of_a_batch_have_each_its_own_packet_and_the_bytes_they_have_alone() -> None:
    pixels = np.concatenate([picture(), picture()[:, ::-1]])
    packets = [packet_of(RECIPE), packet_of(replace(RECIPE, index=8))]
    for encoder in ENCODERS:
        together = encode(pixels, encoder, packets)
        assert together == [encode(pixels[i : i + 1], encoder, packets[i : i + 1])[0] for i in range(2)]
    with pytest.raises(ValueError, match="zip"):
        encode(pixels, "png-3", packets[:1])


def test_the_digest_is_that_of_the_documented_text() -> None:
    lines = [
        RECIPE.model_digest,
        "18446744073709551615",
        "7",
        "3f666666",
        "hair=Zöpfe:3f400000,long & <loose>:3e800000",
        "style=notion:3f800000",
        "background=#ff000080",
    ]
    digest = hashlib.sha256("\n".join(lines).encode()).digest()
    assert RECIPE.digest == digest
    assert short_id(digest) == digest.hex()[:16]


def test_vectors_of_form_1() -> None:
    """Those of docs/provenance.md."""
    model = "sha256:" + "0" * 64
    plain = artwork_digest(model, {}, 0, 0, 1.0)
    assert plain.hex() == "dec74c008482811edef761f0063a4aff0628397983a2c1d83df4ec2885061b11"
    sticker = artwork_digest(model, {"style": {"ink": 1.0}}, 7, 3, 0.8, "#ffffffff")
    assert sticker.hex() == "195978a6c2affda5d0b7c04ca5535ab953d2e2f0d8d0446eeb534381a231bdea"


def test_vectors_of_form_2() -> None:
    """Those of docs/provenance.md: later attempts."""
    model = "sha256:" + "0" * 64
    digest = artwork_digest(model, {"style": {"ink": 1.0}}, 7, 3, 0.8, "#ffffffff", attempt=1)
    lines = ["form=2", "attempt=1", model, "7", "3", "3f4ccccd", "style=ink:3f800000", "background=#ffffffff"]
    assert digest == hashlib.sha256("\n".join(lines).encode()).digest()
    assert digest.hex() == "8a6fd0291478bf85613197c39384a776af15b8d4fc737d066559f29406bab796"
    plain = artwork_digest(model, {}, 0, 0, 1.0, attempt=8)
    assert plain.hex() == "edb8eba2f566e7f59d5d4fc4cd348af2a4151d89df3f5ff85a192f9898171bcd"


def test_a_later_attempt_is_part_of_the_recipe() -> None:
    later = replace(RECIPE, attempt=3)
    assert later.digest != RECIPE.digest
    (file,) = encode(picture(), "png-3", [packet_of(later)])
    statement = read_statement(file)
    assert statement is not None
    assert statement.recipe == later
    assert statement.own == statement.digest == later.digest


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"18446744073709551615"', b'"18446744073709551614"'),
        (b'"index": 7', b'"index": 6'),
        (b"notion", b"lineal"),
        (b"3a3a", b"3a3b"),
    ],
)
def test_a_recipe_that_was_changed_is_not_that_of_the_digest(old: bytes, new: bytes) -> None:
    (file,) = encode(picture(), "png-3", [packet_of(RECIPE).replace(old, new)])
    said = read_statement(file)
    assert said is not None
    assert said.recipe is not None
    assert said.recipe.digest == said.own != said.digest


@pytest.mark.parametrize(
    "packet",
    [
        b"<",
        b"no XML",
        b"<x/>",
        packet_of(RECIPE).replace(b"unikat:sha256:", b"unikat:sha256:zz"),
        packet_of(RECIPE).replace(b'"index": 7', b'"index": {}'),
        packet_of(RECIPE).replace(b'"conditions": {', b'"conditions": [{').replace(b"}}<", b"}]}<"),
        packet_of(RECIPE).replace(b"{", b"[" * 20_000, 1),
        packet_of(RECIPE).replace(b"Unikat, portraits@1", b"Another, portraits@1"),
        packet_of(RECIPE).replace(b'"index": 7', b'"index": Infinity'),
        packet_of(RECIPE).replace(b'"index": 7', b'"index": -7'),
        packet_of(RECIPE).replace(b'"index": 7', b'"index": 4294967296'),
        packet_of(RECIPE).replace(b'"index": 7', b'"index": 7, "attempt": 9'),
        packet_of(RECIPE).replace(b'"index": 7', b'"index": 7, "attempt": -1'),
        packet_of(RECIPE).replace(b'"18446744073709551615"', b'"18446744073709551616"'),
        packet_of(RECIPE).replace(b'"18446744073709551615"', b'"-1"'),
        packet_of(RECIPE).replace(b'"model": "portraits@1"', b'"model": "\\ud800"'),
        packet_of(RECIPE).replace(b'"style": "notion"', b'"style": "notion:1e300,other:1"'),
        packet_of(RECIPE).replace(b'"style": "notion"', b'"style": "\\ud800"'),
        packet_of(RECIPE).replace(GENERATED.encode(), b"http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"),
        b'<!DOCTYPE x [<!ENTITY a "' + b"a" * 1000 + b'">' + b"".join(
            b'<!ENTITY %c "%s">' % (98 + i, b"&%c;" % (97 + i) * 40) for i in range(6)) + b"]><x>&g;</x>",
    ],
)  # fmt: skip
def test_what_says_something_else_says_nothing_of_unikat(packet: bytes) -> None:
    (file,) = encode(picture(), "png-3", [packet])
    said = read_statement(file)
    assert said is not None
    assert not said.is_ours


def test_a_recipe_that_no_jpeg_could_hold_is_left_out() -> None:
    many = replace(RECIPE, weights={"style": {f"a style of its own, number {n}": 1 / 3000 for n in range(3000)}})
    (file,) = encode(picture(), "jpeg-2", [packet_of(many)])
    said = read_statement(file)
    assert said is not None
    assert (said.is_ours, said.digest, said.recipe) == (True, many.digest, None)


def test_a_packet_is_refused_that_no_jpeg_could_hold_and_a_file_that_is_no_picture() -> None:
    (file,) = encode(picture(), "png-3", [b"<x>" + b" " * 2**16 + b"</x>"])
    assert read_statement(file) is None
    with pytest.raises(OSError, match="identify"):
        read_statement(b"no picture")


@pytest.mark.parametrize("prompt", ['{"seed": "7", "hair": "long & <loose>"}', "x" * MAX_PACKET])
def test_what_is_made_from_an_artwork_is_no_artwork(prompt: str) -> None:
    changes = 'scaled; colours of "<brand>" & others'
    derivation = Derivation(RECIPE.model, RECIPE.model_digest, prompt, changes, RECIPE.digest)
    buffer = io.BytesIO()
    Image.fromarray(picture()[0]).save(buffer, "PNG", pnginfo=png_info(derivation.packet))
    said = read_statement(buffer.getvalue())
    assert said is not None
    assert said.is_ours
    assert (said.digest, said.own, said.recipe) == (b"", b"", None)
    assert (said.source, said.changes) == (RECIPE.digest, changes)
    assert said.prompt == (prompt if len(prompt) < MAX_PACKET else "")
