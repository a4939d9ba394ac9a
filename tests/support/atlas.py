"""Atlases read as engines read them, by nothing of ours: TexturePacker's JSON hash, and Godot's text of resources.

And by engines themselves, in a browser: `shown_by`.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from tests.support.chromium import running_browser

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


ENGINES: Final = {  # package of npm, its file
    "phaser@3.90.0": "phaser/dist/phaser.min.js",
    "phaser@4.2.1": "phaser/dist/phaser.min.js",
    "pixi.js@8.22.0": "pixi.js/dist/pixi.min.js",
}
# What each frame of the pages is drawn as, and what it knows: by the numbers with which Phaser's canvas renderer draws
# an image, and by PixiJS's extractor.
_PHASER: Final = """(pages) => new Promise((done, fail) => new Phaser.Game({
  type: Phaser.CANVAS, banner: false, audio: {noAudio: true},
  scene: {
    preload() {
      this.load.on('loaderror', (file) => fail(file.key));
      pages.forEach((page) => this.load.atlas(page, `http://atlas/${page}.png`, `http://atlas/${page}.json`));
    },
    create() {
      const found = {};
      for (const page of pages) {
        for (const name of this.textures.get(page).getFrameNames()) {
          const frame = this.textures.getFrame(page, name);
          const texture = this.textures.createCanvas('out', frame.realWidth, frame.realHeight);
          const {x, y, width, height} = frame.canvasData;
          texture.context.drawImage(frame.source.image, x, y, width, height, frame.x, frame.y, width, height);
          const {data} = texture.context.getImageData(0, 0, frame.realWidth, frame.realHeight);
          const known = frame.customData.unikat ?? null;
          found[name] = [frame.realWidth, frame.realHeight, Array.from(data), known];
          this.textures.remove('out');
        }
      }
      done(found);
    },
  },
}))"""
_PIXI: Final = """async (pages) => {
  const sheet = await PIXI.Assets.load(`http://atlas/${pages[0]}.json`);
  const textures = Object.assign({}, sheet.textures, ...sheet.linkedSheets.map((other) => other.textures));
  const renderer = await PIXI.autoDetectRenderer({preference: ['canvas', 'webgl'], backgroundAlpha: 0});
  const found = {};
  for (const [name, texture] of Object.entries(textures)) {
    const {width, height} = texture.orig;
    const frame = new PIXI.Rectangle(0, 0, width, height);
    const canvas = renderer.extract.canvas({target: new PIXI.Sprite(texture), frame, resolution: 1});
    const {data} = canvas.getContext('2d').getImageData(0, 0, width, height);
    found[name] = [width, height, Array.from(data), 'not read'];
  }
  return found;
}"""


def shown_by(library: str, folder: Path, scratch: Path) -> dict[str, tuple[Pixels, Any]]:
    """Every frame of the atlases in a folder as an engine of ENGINES draws it, and what it knows of it.

    npm installs the engine into `scratch`.
    """
    subprocess.run(["npm", "install", "--silent", "--prefix", str(scratch), library], check=True)
    pages = sorted(file.stem for file in folder.glob("*.json"))
    with running_browser() as browser:
        page = browser.new_page()
        page.route("http://atlas/*", lambda route: route.fulfill(path=folder / route.request.url.split("/")[-1]))
        page.route("http://atlas/", lambda route: route.fulfill(body="<!doctype html>", content_type="text/html"))
        page.goto("http://atlas/")
        page.add_script_tag(path=scratch / "node_modules" / ENGINES[library])
        found = page.evaluate(_PIXI if library.startswith("pixi") else _PHASER, pages)
    return {
        name: (np.array(data, np.uint8).reshape(height, width, 4), known)
        for name, (width, height, data, known) in found.items()
    }
