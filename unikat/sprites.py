"""Atlases: many drawings in one picture, and where each of them is, as game engines read it.

The JSON is TexturePacker's "hash", which Phaser and PixiJS load; `atlas.tres` is a SpriteFrames of Godot 4. The same
sprites give the same bytes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from unikat.metadata import of_several

LARGEST: Final = 4096  # pixels; the largest texture that every engine and phone takes
RESOURCE: Final = "atlas.tres"
SPEED: Final = 5.0  # frames a second, Godot's default


@dataclass(frozen=True)
class Sprite:
    """A picture, its name in the atlas, and what the JSON says of it beside its place."""

    name: str
    image: Image.Image
    facts: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Packing:
    """How sprites are packed; all sizes in pixels."""

    padding: int = 2  # nothing around each
    extrude: int = 0  # its edge repeated around each, so that filtering does not mix in what is beside it
    trim: bool = False  # cut off what is transparent around it
    columns: int | None = None  # a row; None: about as wide as high
    largest: int = LARGEST  # width and height of an atlas


@dataclass(frozen=True)
class Frame:
    """A sprite in an atlas: the part of it that is kept (left, top, right, bottom), and where that is."""

    sprite: Sprite
    part: tuple[int, int, int, int]
    x: int
    y: int

    @property
    def size(self) -> tuple[int, int]:
        left, top, right, bottom = self.part
        return right - left, bottom - top


def pack(sprites: Sequence[Sprite], packing: Packing) -> dict[str, bytes]:
    """Files by their names: `atlas.png` and `atlas.json`, or `atlas-1.png` and so on where one is too small.

    Raises ValueError for no sprites, for two of one name, and for one that is larger than an atlas.
    """
    names = [sprite.name for sprite in sprites]
    if not names:
        raise ValueError("there are no sprites")
    if len(set(names)) < len(names):
        raise ValueError(f"two sprites are called {next(name for name in names if names.count(name) > 1)!r}")
    pages = _placed(sprites, packing)
    stems = ["atlas"] if len(pages) == 1 else [f"atlas-{number}" for number in range(1, len(pages) + 1)]
    files: dict[str, bytes] = {}
    for stem, frames in zip(stems, pages, strict=True):
        picture = _painted(frames, packing)
        others = [f"{other}.json" for other in stems if other != stem]
        files[f"{stem}.png"] = _png(picture)
        files[f"{stem}.json"] = _hash(f"{stem}.png", picture.shape, frames, others)
    files[RESOURCE] = _sprite_frames([f"{stem}.png" for stem in stems], pages, names)
    return files


def _placed(sprites: Sequence[Sprite], packing: Packing) -> list[list[Frame]]:
    """The frames of each atlas: shelves from top to bottom, the highest sprites first."""
    parts = [_part(sprite.image, packing.trim) for sprite in sprites]
    room = 2 * packing.extrude + packing.padding
    sizes = [(right - left + room, bottom - top + room) for left, top, right, bottom in parts]
    inner = packing.largest - packing.padding
    for sprite, size in zip(sprites, sizes, strict=True):
        if max(size) > inner:
            raise ValueError(f"{sprite.name} is {sprite.image.width} x {sprite.image.height}: no room in an atlas")
    side = math.isqrt(sum(width * height for width, height in sizes) - 1) + 1
    limit = inner if packing.columns else min(inner, max(side, *(width for width, _ in sizes)))
    pages: list[list[Frame]] = [[]]
    x = y = shelf = count = 0
    for index in sorted(range(len(sprites)), key=lambda index: -sizes[index][1]):
        width, height = sizes[index]
        if x + width > limit or count == packing.columns:
            x, y, shelf, count = 0, y + shelf, 0, 0
        if y + height > inner:
            pages.append([])
            x = y = shelf = count = 0
        at = packing.padding + packing.extrude
        pages[-1].append(Frame(sprites[index], parts[index], x + at, y + at))
        x, shelf, count = x + width, max(shelf, height), count + 1
    return pages


def _part(image: Image.Image, trim: bool) -> tuple[int, int, int, int]:
    whole = (0, 0, image.width, image.height)
    if not trim or not image.has_transparency_data:
        return whole
    return image.convert("RGBA").getchannel("A").getbbox() or (0, 0, 1, 1)  # of nothing a pixel: engines want a frame


def _painted(frames: Sequence[Frame], packing: Packing) -> npt.NDArray[np.uint8]:
    """An atlas, (H, W, 4)."""
    around = packing.extrude
    width = max(frame.x + frame.size[0] for frame in frames) + around + packing.padding
    height = max(frame.y + frame.size[1] for frame in frames) + around + packing.padding
    picture = np.zeros((height, width, 4), dtype=np.uint8)
    for frame in frames:
        pixels = np.asarray(frame.sprite.image.convert("RGBA").crop(frame.part))
        pixels = np.pad(pixels, ((around, around), (around, around), (0, 0)), mode="edge")
        top, left = frame.y - around, frame.x - around
        picture[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return picture


def _png(picture: npt.NDArray[np.uint8]) -> bytes:
    buffer = BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", pnginfo=of_several())
    return buffer.getvalue()


def _hash(image: str, shape: tuple[int, ...], frames: Sequence[Frame], others: Sequence[str]) -> bytes:
    """TexturePacker's JSON hash. Phaser hands on what it does not know: `frame.customData.unikat`."""
    meta: dict[str, object] = {
        "app": "unikat",
        "version": "1.0",
        "image": image,
        "format": "RGBA8888",
        "size": {"w": shape[1], "h": shape[0]},
        "scale": "1",
    }
    if others:
        meta["related_multi_packs"] = others
    entries = ",\n".join(f"{_quoted(frame.sprite.name)}: {_quoted(_entry(frame))}" for frame in frames)  # one a line
    return f'{{"frames": {{\n{entries}\n}},\n"meta": {_quoted(meta)}}}\n'.encode()


def _quoted(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _entry(frame: Frame) -> dict[str, object]:
    (left, top, _, _), (width, height), image = frame.part, frame.size, frame.sprite.image
    entry: dict[str, object] = {
        "frame": {"x": frame.x, "y": frame.y, "w": width, "h": height},
        "rotated": False,
        "trimmed": (width, height) != image.size,
        "spriteSourceSize": {"x": left, "y": top, "w": width, "h": height},
        "sourceSize": {"w": image.width, "h": image.height},
        "pivot": {"x": 0.5, "y": 0.5},
    }
    return entry | ({"unikat": dict(frame.sprite.facts)} if frame.sprite.facts else {})


def _sprite_frames(images: Sequence[str], pages: Sequence[Sequence[Frame]], names: Sequence[str]) -> bytes:
    """Godot 4's text: an AtlasTexture a sprite, the animation "default" of all of them, and one a sprite by its name.

    Paths are relative: Godot resolves them from the folder of the file, wherever in a project that is.
    """
    ids = {name: f"sprite_{index}" for index, name in enumerate(names)}
    lines = [f'[gd_resource type="SpriteFrames" load_steps={len(images) + len(names) + 1} format=3]', ""]
    lines += [f'[ext_resource type="Texture2D" path="{image}" id="{index}"]' for index, image in enumerate(images)]
    for page, frames in enumerate(pages):
        for frame in frames:
            (left, top, _, _), (width, height), image = frame.part, frame.size, frame.sprite.image
            # An AtlasTexture is as large as its region and margin together.
            margin = (left, top, image.width - width, image.height - height)
            lines += ["", f'[sub_resource type="AtlasTexture" id="{ids[frame.sprite.name]}"]']
            lines += [f'atlas = ExtResource("{page}")', f"region = Rect2({frame.x}, {frame.y}, {width}, {height})"]
            lines += [f"margin = Rect2{margin}"] if any(margin) else []
            lines += ["filter_clip = true"]
    animations = [_animation("default", list(ids.values())), *(_animation(name, [ids[name]]) for name in names)]
    lines += ["", "[resource]", f"animations = [{', '.join(animations)}]", ""]
    return "\n".join(lines).encode()


def _animation(name: str, ids: Sequence[str]) -> str:
    frames = ", ".join(f'{{\n"duration": 1.0,\n"texture": SubResource("{each}")\n}}' for each in ids)
    return f'{{\n"frames": [{frames}],\n"loop": true,\n"name": &{_quoted(name)},\n"speed": {SPEED}\n}}'
