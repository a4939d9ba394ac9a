"""Files of a few kilobytes that stand for gigabytes: each is named and left out, and memory stays where it was."""

from __future__ import annotations

import base64
import functools
import io
import struct
import subprocess
import sys
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, PngImagePlugin

from tests.fuzz.__main__ import CORPUS
from tests.training.data.preparing import TAKE_ALL, fill, picture, png, prepare
from unikat.batches.parquet import ParquetBomb, open_parquet
from unikat_training.data.folder import archives
from unikat_training.data.folder.container import open_container
from unikat_training.data.memory import WORKED, UnsafePictureError
from unikat_training.data.pictures import BrokenPictureError, decode
from unikat_training.errors import DatasetError

SVG: Final = '<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8">{}</svg>'
MOST_MORE: Final = 200_000_000  # bytes beyond what ordinary pictures take


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


@functools.cache
def png_of(width: int, height: int, *more: bytes, colour: int = 2) -> bytes:
    """A black PNG of any size, with chunks before its pixels."""
    packer, row = zlib.compressobj(9), bytes(1 + width * {0: 1, 2: 3, 6: 4}[colour])
    packed = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + b"".join(more) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def saved(kind: str, size: tuple[int, int], mode: str = "RGB", **options: object) -> bytes:
    sink = io.BytesIO()
    Image.new(mode, size, 7 if mode == "L" else None).save(sink, kind, **options)
    return sink.getvalue()


def icon(inner: bytes) -> bytes:
    """An icon that says it is 16 pixels wide, around a PNG of any size."""
    return struct.pack("<HHH", 0, 1, 1) + struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(inner), 22) + inner


def animation(*sizes: tuple[int, int]) -> bytes:
    """A TIFF whose pages have these sizes, each of one colour."""
    sink, pages = io.BytesIO(), [Image.new("1", size) for size in sizes]
    pages[0].save(sink, "TIFF", save_all=True, append_images=pages[1:], compression="tiff_deflate")
    return sink.getvalue()


def wide_tile() -> bytes:
    """A TIFF of 16 pixels whose only tile would be 32,768 pixels wide and high."""
    tags = [
        (256, 16),
        (257, 16),
        (258, 8),
        (259, 8),
        (262, 1),
        (277, 1),
        (322, 2**15),
        (323, 2**15),
        (324, 8),
        (325, 9),
    ]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<I", 20) + bytes(12) + struct.pack("<H", len(tags)) + entries + bytes(4)


HEAVY: Final[dict[str, Callable[[], bytes]]] = {
    "pixels.png": lambda: png_of(9000, 9000),
    "rgba.png": lambda: png_of(7000, 7000, colour=6),
    "photo.webp": lambda: saved("WEBP", (4000, 3000)),
    "photo.jp2": lambda: saved("JPEG2000", (3000, 3000)),
    "progressive.jpg": lambda: saved("JPEG", (7000, 7000), progressive=True, subsampling=0),
    "icon.ico": lambda: icon(png_of(9000, 9000)),
    "pages.tif": lambda: animation((8, 8), (20_000, 20_000)),
    "tile.tif": wide_tile,
}


@pytest.mark.parametrize("name", HEAVY)
def test_a_picture_that_takes_too_much_is_refused_by_its_header(name: str) -> None:
    content = HEAVY[name]()
    begun = time.process_time()
    with pytest.raises(UnsafePictureError, match=r"\d+ x \d+ pixels.*at most"):
        decode(content)
    assert time.process_time() - begun < 0.5


def test_the_problem_names_picture_size_and_limit(tmp_path: Path) -> None:
    fill(tmp_path / "in", {"a/x.png": png(1), "b/y.png": png(2), "b/big.png": HEAVY["pixels.png"]()})
    done = prepare(tmp_path / "out", "folder", tmp_path / "in", "--size", "8", *TAKE_ALL)
    assert ("unsafe", "b/big.png") in done.problems
    report = (tmp_path / "out" / "report.json").read_text("utf-8")
    assert "PNG of 9000 x 9000 pixels: decoding takes 324 MB; at most 170 MB are used" in report


def test_a_large_ordinary_photo_is_decoded_smaller() -> None:
    image = decode(saved("JPEG", (9000, 8000)))
    assert image.width * image.height <= WORKED
    assert image.width / image.height == pytest.approx(9 / 8, rel=0.01)


def test_a_large_picture_is_reduced_without_seams() -> None:
    small = picture(3, (300, 200)).resize((6000, 4000), Image.Resampling.NEAREST)
    sink = io.BytesIO()
    small.save(sink, "PNG", compress_level=1)
    assert decode(sink.getvalue()).tobytes() == small.reduce(2).tobytes()


def test_texts_in_a_png_do_not_fill_the_memory() -> None:
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(PngImagePlugin.MAX_TEXT_CHUNK)))
    with pytest.raises(BrokenPictureError, match="text"):
        decode(png_of(8, 8, *[text] * 40))


def entities() -> str:
    """Each text is ten of the one before."""
    rows = "".join(f'<!ENTITY a{i} "' + f"&a{i - 1};" * 10 + '">' for i in range(1, 9))
    return f'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY a0 "{"x" * 1000}">{rows}]>' + SVG.format("<text>&a8;</text>")


def uses() -> str:
    groups = ""
    for i in range(1, 9):
        inside = f'<use href="#a{i - 1}"/>' * 10
        groups += f'<g id="a{i}">{inside}</g>'
    return SVG.format(f'<defs><rect id="a0" width="1" height="1"/>{groups}</defs><use href="#a8"/>')


def embedded() -> str:
    data = base64.b64encode(png_of(14_000, 14_000, colour=0)).decode()
    return SVG.format(f'<image width="8" height="8" href="data:image/png;base64,{data}"/>')


DRAWINGS: Final[dict[str, Callable[[], str]]] = {
    "entities": entities,
    "uses": uses,
    "embedded": embedded,
    "pattern": lambda: SVG.format(
        '<pattern id="f" width="1e5" height="1e5" patternUnits="userSpaceOnUse"><rect width="9" height="9"/></pattern>'
        '<rect width="8" height="8" fill="url(#f)"/>'
    ),
    "nested": lambda: SVG.format("<g opacity='.5'>" * 20_000 + "<rect width='8' height='8'/>" + "</g>" * 20_000),
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_drawing_that_takes_too_much_is_left_out_and_the_next_is_drawn(name: str) -> None:
    with pytest.raises((UnsafePictureError, BrokenPictureError), match=r"more than \d+ MB|parsing failed|loop"):
        decode(DRAWINGS[name]().encode())
    assert decode(SVG.format('<rect width="8" height="8" fill="red"/>').encode()).getpixel((9, 9)) == (255, 0, 0)


def test_a_zip_that_holds_far_more_than_it_has_bytes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "FREE_BYTES", 2**20)
    content = bytes(2**22)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as bomb:
        for number in range(4):
            bomb.writestr(f"a/{number}.bmp", content)
    with pytest.raises(DatasetError, match=r"16777216 bytes in an archive of \d+, .*; unpack it"):
        open_container(tmp_path / "bomb.zip")


def test_archives_of_too_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_MEMBERS", 20)
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as packed, tarfile.open(tmp_path / "many.tar", "w") as taped:
        for number in range(21):
            packed.writestr(f"{number}.png", b"")
            taped.addfile(tarfile.TarInfo(f"{number}.png"))
    for name in ("many.zip", "many.tar"):
        with pytest.raises(DatasetError, match="members"):
            open_container(tmp_path / name)


def test_a_zip_says_in_its_end_that_its_directory_is_too_large(tmp_path: Path) -> None:
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 9, 9, archives.MAX_DIRECTORY + 1, 0, 0)
    with (tmp_path / "bomb.zip").open("wb") as file:
        file.truncate(archives.MAX_DIRECTORY + 1)
        file.seek(0, io.SEEK_END)
        file.write(end)
    with pytest.raises(DatasetError, match="table of contents"):
        open_container(tmp_path / "bomb.zip")


def test_a_zip_whose_end_tells_fewer_members_than_it_has_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MAX_MEMBERS", 20)
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as packed:
        for number in range(21):
            packed.writestr(f"{number}.png", b"")
    content = bytearray((tmp_path / "many.zip").read_bytes())
    struct.pack_into("<2H", content, content.rfind(b"PK\5\6") + 8, 1, 1)
    (tmp_path / "many.zip").write_bytes(content)
    with pytest.raises(DatasetError, match="21 members"):
        open_container(tmp_path / "many.zip")


@pytest.mark.parametrize(("offset", "byte"), [(6, 255), (9, 8)])  # a version that Python cannot read; not UTF-8
def test_a_zip_with_a_damaged_table_of_contents_says_so(offset: int, byte: int, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "it.zip", "w") as packed:
        packed.writestr("\u00e4.png" if offset == 9 else "a.png", b"")
    content = bytearray((tmp_path / "it.zip").read_bytes())
    at = content.find(b"PK\1\2")
    content[at + offset] = byte
    if offset == 9:
        content[at + 46] = 0xFF
    (tmp_path / "it.zip").write_bytes(content)
    with pytest.raises(DatasetError, match="not a readable archive"):
        open_container(tmp_path / "it.zip")


def test_a_picture_in_parquet_that_claims_far_more_than_the_file_is_left_out(tmp_path: Path) -> None:
    table = pa.table({"image": pa.array([{"bytes": bytes(2**27)}, {"bytes": png(1)}])})
    pq.write_table(table, tmp_path / "it.parquet", compression="zstd")
    del table
    found = open_container(tmp_path)
    assert [problem.kind for problem in found.problems] == ["unsafe"]
    with (tmp_path / "it.parquet").open("rb") as file, pytest.raises(ParquetBomb, match="unpacked"):
        open_parquet(file)


def test_a_tar_that_claims_gigabytes_of_headers_is_refused(tmp_path: Path) -> None:
    head = tarfile.TarInfo("x")
    head.size, head.type = 2**32, tarfile.XHDTYPE
    with (tmp_path / "bomb.tar").open("wb") as file:
        file.write(head.tobuf())
        file.truncate(2**32 + 2**20)
    with pytest.raises(DatasetError, match="a header of"):
        open_container(tmp_path / "bomb.tar")


def peak(folder: Path, out: Path) -> int:
    """Bytes that `unikat prepare folder` had at most, with the process that draws SVGs."""
    command = [sys.executable, "-c", "from unikat_training.data.commands import app; app()", "folder", str(folder)]
    options = ["--size", "16", "--jobs", "1", "--out", str(out), "--labels", "none", "--background", "white", *TAKE_ALL]
    with subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True) as program:
        watched, most = psutil.Process(program.pid), 0
        while program.poll() is None:
            try:
                most = max(most, sum(each.memory_info().rss for each in [watched, *watched.children()]))
            except psutil.NoSuchProcess:
                continue
            time.sleep(0.002)
        assert program.stderr
        assert program.returncode == 0, program.stderr.read()
    return most


def test_a_folder_of_bombs_takes_little_more_memory_than_one_of_pictures(tmp_path: Path) -> None:
    ordinary = {f"{number}.png": png(number) for number in range(4)}
    ordinary["drawing.svg"] = SVG.format('<rect width="4" height="4" fill="red"/>').encode()
    bombs = {f"bomb-{name}": make() for name, make in HEAVY.items()}
    bombs |= {f"bomb-{name}.svg": make().encode() for name, make in DRAWINGS.items()}
    # And the largest that are taken.
    bombs |= {
        "large.png": png_of(6400, 6400),
        "large.webp": saved("WEBP", (3400, 3000)),
        "large.jpg": saved("JPEG", (10_000, 10_000)),
        "progressive.jpg": saved("JPEG", (4000, 4000), progressive=True, subsampling=0),
        "deep.png": saved("PNG", (9000, 9000), "I;16"),
        "denied.gif": (CORPUS / "picture" / "frames-denied").read_bytes(),  # 78 megapixels, damaged in its second frame
    }
    fill(tmp_path / "ordinary", ordinary)
    fill(tmp_path / "bombs", ordinary | bombs)
    more = peak(tmp_path / "bombs", tmp_path / "b") - peak(tmp_path / "ordinary", tmp_path / "a")
    print(f"{more / 1e6:.0f} MB more")
    assert more < MOST_MORE
