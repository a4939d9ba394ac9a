"""What a file is, by its name and, where the name does not say, by how its content begins."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Final

from unikat_training.data.svg import is_svg

FILM: Final = "a film"
PAGE: Final = "a printed page"
FILMS_AND_PAGES: Final = (FILM, PAGE)  # beside pictures, and none that somebody wanted as one
# Suffixes of what is decoded.
SUFFIXES: Final = frozenset(
    (
        *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff"),
        *(".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".tga", ".ico", ".jp2", ".j2k", ".svg"),
    )
)
# Pictures that are not decoded here: HEIC for want of a decoder in Pillow, camera files since Pillow would take the
# thumbnail in them for the picture, the others since what they show depends on the program.
OTHER_PICTURES: Final = {
    **dict.fromkeys((".heic", ".heif", ".hif"), "HEIC"),
    ".jxl": "JPEG XL",
    ".svgz": "compressed SVG",
    **dict.fromkeys((".psd", ".psb", ".xcf", ".kra", ".clip", ".afphoto"), "a file of a painting program"),
    **dict.fromkeys((".ai", ".eps", ".pdf"), PAGE),
    **dict.fromkeys(
        (".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw"), "a camera's raw file"
    ),
    **dict.fromkeys((".exr", ".hdr"), "a picture of high dynamic range"),
    **dict.fromkeys((".dcm", ".nii"), "a medical image"),
    **dict.fromkeys((".mp4", ".mov", ".avi", ".mkv", ".webm"), FILM),
}
TABLE_SUFFIXES: Final = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet")
ARCHIVE_SUFFIXES: Final = (".zip", ".tar")
# Not looked into: their names say enough.
_NO_PICTURES: Final = frozenset(
    (
        *(*TABLE_SUFFIXES, *ARCHIVE_SUFFIXES, ".gz", ".tgz", ".xz", ".bz2", ".7z", ".rar", ".txt", ".md", ".xml"),
        *(
            ".html",
            ".htm",
            ".css",
            ".js",
            ".py",
            ".ipynb",
            ".yaml",
            ".yml",
            ".toml",
            ".ini",
            ".log",
            ".cls",
            ".caption",
        ),
        *(".npy", ".npz", ".pt", ".pth", ".pkl", ".h5", ".mat", ".onnx", ".safetensors", ".xlsx", ".xls", ".docx"),
        *(".db", ".sqlite", ".exe", ".lnk", ".url", ".mp3", ".wav", ".xmp", ".aae", ".license"),
    )
)
HEAD: Final = 512  # bytes that tell a format

_READ: Final = "read"  # by `unikat_training.data.pictures.decode`
_BEGINNINGS: Final = (
    (0, b"\x89PNG\r\n", _READ),
    (0, b"\xff\xd8\xff", _READ),  # JPEG
    (0, b"GIF8", _READ),
    (8, b"WEBP", _READ),
    (0, b"II*\0", _READ),  # TIFF
    (0, b"MM\0*", _READ),
    (4, b"ftypavif", _READ),
    (4, b"ftypavis", _READ),
    (4, b"ftyphei", "HEIC"),
    (4, b"ftyphev", "HEIC"),
    (4, b"ftypmif1", "HEIC"),
    (4, b"ftypmsf1", "HEIC"),
    (4, b"ftyp", FILM),
    (0, b"\xff\x0a", "JPEG XL"),
    (4, b"JXL ", "JPEG XL"),
    (0, b"8BPS", "a file of a painting program"),
    (0, b"%PDF", PAGE),
    (0, b"%!PS", PAGE),
)
_NOT_PICTURES: Final = (
    (b"<!doctype html", "a web page and no picture: a download that failed"),
    (b"<html", "a web page and no picture: a download that failed"),
    (b"version https://git-lfs", "a pointer of Git LFS and no picture: run `git lfs pull`"),
    (b"<?xml", "XML and no picture: a download that failed"),
)


def suffix(name: str) -> str:
    """The ending of a file's name in small letters, with its dot; "" where there is none."""
    return PurePosixPath(name).suffix.lower()


def may_be_picture(name: str) -> bool:
    """True where only the content can tell: no ending, or one that is not known."""
    return suffix(name) not in SUFFIXES and suffix(name) not in OTHER_PICTURES and suffix(name) not in _NO_PICTURES


def is_readable(head: bytes) -> bool:
    """True for the beginning of a picture that can be decoded."""
    return _format(head) == _READ or is_svg(head)


def other_picture(head: bytes) -> str:
    """What the picture is that begins so, when it is of a format that is not decoded here; else ""."""
    found = _format(head)
    return found if found != _READ else ""


def why_no_picture(content: bytes) -> str:
    """What a file is that no decoder knows, for a message."""
    if not content:
        return "the file is empty"
    if not content.strip(b"\0"):
        return "the file holds zeros only: a download or copy that was cut off"
    start = content[:HEAD].lstrip().lower()
    found = [what for beginning, what in _NOT_PICTURES if start.startswith(beginning)]
    return found[0] if found else "not a picture of a known format"


def way_out(what: str) -> str:
    """What to do with a picture that is not decoded here."""
    return f"{what}: not read here; save it as PNG or JPEG"


def _format(head: bytes) -> str:
    return next((what for at, magic, what in _BEGINNINGS if head[at : at + len(magic)] == magic), "")
