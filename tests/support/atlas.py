"""Atlases read as engines read them, by nothing of ours: TexturePacker's JSON hash, and Godot's text of resources."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]  # (H, W, 4)


def cut(image: Image.Image, box: tuple[int, int, int, int], at: tuple[int, int], size: tuple[int, int]) -> Pixels:
    """What is in `box` (x, y, width, height) of an atlas, on nothing of a size, at a place."""
    x, y, width, height = box
    whole = Image.new("RGBA", size)
    whole.paste(image.crop((x, y, x + width, y + height)), at)
    return np.asarray(whole)


def hash_frames(folder: Path) -> dict[str, Pixels]:
    """Of all `*.json` in a folder: every frame as large as it was before it was trimmed."""
    found: dict[str, Pixels] = {}
    for file in sorted(folder.glob("*.json")):
        document = json.loads(file.read_text("utf-8"))
        meta = document["meta"]
        image = Image.open(folder / meta["image"])
        assert (image.mode, image.size) == ("RGBA", (meta["size"]["w"], meta["size"]["h"]))
        for name, entry in document["frames"].items():
            frame, kept, source = entry["frame"], entry["spriteSourceSize"], entry["sourceSize"]
            assert entry["rotated"] is False
            assert (kept["w"], kept["h"]) == (frame["w"], frame["h"])
            assert entry["trimmed"] == ((kept["w"], kept["h"]) != (source["w"], source["h"]))
            box = (frame["x"], frame["y"], frame["w"], frame["h"])
            assert name not in found
            found[name] = cut(image, box, (kept["x"], kept["y"]), (source["w"], source["h"]))
    return found


def godot_frames(folder: Path) -> dict[str, list[Pixels]]:
    """Of `atlas.tres`: the textures of each animation."""
    text = (folder / "atlas.tres").read_text("utf-8")
    head, *sections = re.split(r"^\[(?=ext_resource|sub_resource|resource)", text, flags=re.MULTILINE)
    assert head == f'[gd_resource type="SpriteFrames" load_steps={len(sections)} format=3]\n\n'
    images: dict[str, Image.Image] = {}
    textures: dict[str, Pixels] = {}
    for section in sections:
        if outside := re.match(r'ext_resource type="Texture2D" path="([^"]+)" id="([^"]+)"\]', section):
            images[outside[2]] = Image.open(folder / outside[1])
        elif within := re.match(r'sub_resource type="AtlasTexture" id="([^"]+)"\]', section):
            textures[within[1]] = atlas_texture(section, images)
    animations = sections[-1].partition("animations = ")[2]
    names = re.findall(r'"name": &("(?:[^"\\]|\\.)*")', animations)
    lists = re.findall(r'"frames": \[(.*?)\]', animations, flags=re.DOTALL)
    used = [[textures[each] for each in re.findall(r'SubResource\("([^"]+)"\)', found)] for found in lists]
    return dict(zip(map(json.loads, names), used, strict=True))


def atlas_texture(section: str, images: dict[str, Image.Image]) -> Pixels:
    """Its size is that of region and margin together; the region is drawn at the margin's position."""
    atlas = re.search(r'^atlas = ExtResource\("([^"]+)"\)', section, flags=re.MULTILINE)
    assert atlas is not None
    x, y, width, height = rectangle(section, "region")
    left, top, wider, higher = rectangle(section, "margin")
    return cut(images[atlas[1]], (x, y, width, height), (left, top), (width + wider, height + higher))


def rectangle(section: str, name: str) -> tuple[int, int, int, int]:
    found = re.search(rf"^{name} = Rect2\((\d+), (\d+), (\d+), (\d+)\)$", section, flags=re.MULTILINE)
    if found is None:
        return 0, 0, 0, 0
    x, y, width, height = map(int, found.groups())
    return x, y, width, height
