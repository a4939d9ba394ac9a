"""Films: every frame is in the file, in order, and none is kept while it is written."""

from __future__ import annotations

import base64
import gc
import io
import struct
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.chromium import is_wanted, running_browser
from unikat.film.formats import FORMATS, encoder_of
from unikat.film.mp4 import mp4_of
from unikat.film.reel import Film, Reel
from unikat.metadata import Derivation, read_statement

PACKET = Derivation("tiny@1", "sha256:" + "3a" * 32, '{"walk": ["7:0", "9:3"]}', "A film.").packet


def frames(mode: str, count: int, side: int = 16) -> list[Image.Image]:
    rng = np.random.default_rng(count)
    return [
        Image.fromarray(rng.integers(0, 256, (side, side, len(mode)), dtype=np.uint8)).resize((64, 64), 0)
        for _ in range(count)
    ]


def written(ending: str, film: Film, pictures: list[Image.Image]) -> bytes:
    buffer = io.BytesIO()
    FORMATS[ending](film, pictures, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("loop", [True, False])
@pytest.mark.parametrize("ending", [".png", ".webp"])
def test_a_film_has_every_frame_and_says_what_it_is(ending: str, loop: bool, mode: str) -> None:
    pictures = frames(mode, 5)
    data = written(ending, Film((64, 64), mode, 5, 12, loop, PACKET), pictures)
    assert data == written(ending, Film((64, 64), mode, 5, 12, loop, PACKET), pictures)
    said = read_statement(data)
    assert said is not None
    assert (said.is_ours, said.changes, said.prompt) == (True, "A film.", '{"walk": ["7:0", "9:3"]}')
    with Image.open(io.BytesIO(data)) as film:
        assert film.n_frames == 5  # type: ignore[attr-defined]
        assert film.info["loop"] == (0 if loop else 1)
        for number, picture in enumerate(pictures):
            film.seek(number)
            film.load()
            assert film.info["duration"] == pytest.approx(1000 / 12, abs=0.7)
            shown, expected = np.asarray(film.convert(mode)).astype(int), np.asarray(picture).astype(int)
            if ending == ".png":
                assert np.array_equal(shown, expected)
            else:
                assert (
                    np.abs(shown - expected)[..., :3].mean() < np.abs(np.roll(expected, 8) - expected)[..., :3].mean()
                )


@pytest.mark.parametrize("ending", sorted(FORMATS))
def test_no_frame_is_kept(ending: str, tmp_path: Path) -> None:
    alive: list[weakref.ref[Image.Image]] = []
    most = 0

    def arriving() -> Iterator[Image.Image]:
        nonlocal most
        for picture in frames("RGB", 8, 4):
            frame = picture.copy()
            alive.append(weakref.ref(frame))
            yield frame
            del frame
            gc.collect()
            most = max(most, sum(each() is not None for each in alive))

    with (tmp_path / f"film{ending}").open("wb") as file:
        FORMATS[ending](Film((64, 64), "RGB", 8, 8, True, PACKET), arriving(), file)
    assert len(alive) == 8
    assert most <= 2


def test_mp4_holds_the_samples_and_the_recipe() -> None:
    data = written(".mp4", Film((64, 64), "RGB", 5, 12, True, PACKET), frames("RGB", 5))
    kinds = [data[at + 4 : at + 8] for at in box_starts(data)]
    assert kinds == [b"ftyp", b"uuid", b"moov", b"mdat"]
    assert PACKET in data
    (start,) = struct.unpack_from(">I", data, data.index(b"stco") + 12)
    sizes = struct.unpack_from(">5I", data, data.index(b"stsz") + 16)
    assert start == data.index(b"mdat") + 4
    assert start + sum(sizes) == len(data)


# The middle pixel of each frame of a film, as the browser plays it.
PLAYED = """async ([source, count, fps]) => {
  const video = document.createElement("video"), canvas = document.createElement("canvas");
  const happens = (what) => new Promise((then, fail) => {
    video.addEventListener(what, then, {once: true});
    video.addEventListener("error", () => fail(video.error.message), {once: true});
  });
  video.muted = true;
  video.src = source;
  await happens("loadeddata");
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  const seen = [], context = canvas.getContext("2d");
  for (let frame = 0; frame < count; frame++) {
    video.currentTime = (frame + 0.5) / fps;
    await happens("seeked");
    context.drawImage(video, 0, 0);
    seen.push([...context.getImageData(canvas.width / 2, canvas.height / 2, 1, 1).data.slice(0, 3)]);
  }
  return [video.duration, canvas.width, canvas.height, seen];
}"""


@pytest.mark.skipif(not is_wanted(), reason="there is no Chromium")
def test_a_browser_plays_mp4() -> None:
    colours = [(200, 30, 30), (30, 180, 40), (20, 40, 220), (240, 240, 240), (10, 10, 10)]
    pictures = [Image.new("RGB", (96, 64), colour) for colour in colours]
    data = written(".mp4", Film((96, 64), "RGB", 5, 12, False, PACKET), pictures)
    source = "data:video/mp4;base64," + base64.b64encode(data).decode()
    with running_browser() as browser:
        duration, *size, seen = browser.new_page().evaluate(PLAYED, [source, 5, 12])
    assert duration == pytest.approx(5 / 12, abs=0.01)
    assert size == [96, 64]
    assert np.abs(np.array(seen) - np.array(colours)).max() <= 6


def box_starts(data: bytes) -> Iterator[int]:
    at = 0
    while at < len(data):
        yield at
        at += struct.unpack_from(">I", data, at)[0]


def test_what_is_no_film_is_refused() -> None:
    film = Film((64, 64), "RGB", 3, 8, True, PACKET)
    with pytest.raises(ValueError, match="the film ends at frame 2 of 3"):
        written(".png", film, frames("RGB", 2))
    with pytest.raises(ValueError, match="frame 0 is RGBA"):
        Reel(film, frames("RGBA", 3))
    with pytest.raises(ValueError, match="no alpha"):
        written(".mp4", Film((64, 64), "RGBA", 3, 8, True, PACKET), frames("RGBA", 3))
    with pytest.raises(ValueError, match=r"must end in \.webp, \.png, \.mp4"):
        encoder_of(Path("walk.gif"))
    with pytest.raises(ValueError, match="no AVIF sequence"):
        mp4_of(b"\0\0\0\x08free", 8, PACKET)
