"""SVG drawings as pixels. Nothing that they refer to is read, and what draws them has bounded memory and time."""

from __future__ import annotations

import atexit
import io
import re
import subprocess
import sys
import threading
from contextlib import suppress
from typing import Final

import resvg_py
from PIL import Image

from unikat_training.data import svg_process

SIDE: Final = 1024  # pixels; what a drawing is rendered to fit into, whatever size it claims
MAX_BYTES: Final = 16 * 2**20  # of a drawing
SECONDS: Final = 10.0  # that drawing one may take
_HEAD: Final = 4096  # bytes, in which the first element is
_REFERENCE: Final = re.compile(r"href\s*=\s*[\"']\s*([^\"']*)", re.IGNORECASE)
_WITHIN: Final = re.compile(r"#|data:image/(png|jpe?g|gif|webp)\b", re.IGNORECASE)


class HeavyDrawingError(Exception):
    """A drawing takes more memory or time than there is for one."""


def is_svg(content: bytes) -> bool:
    """True for what begins as an SVG drawing does."""
    head = content[:_HEAD].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return b"<svg" in head and head.startswith((b"<svg", b"<?xml", b"<!--", b"<!doctype svg"))


def render(content: bytes) -> Image.Image:
    """The drawing as RGBA, its longer side SIDE; without fonts of the system, which differ, so without text.

    Raises ValueError for one that is broken, or refers to other files, and HeavyDrawingError.
    """
    if len(content) > MAX_BYTES:
        raise HeavyDrawingError(f"an SVG of {len(content)} bytes; at most {MAX_BYTES} are read")
    text = content.decode("utf-8-sig")
    if "<!ATTLIST" in text or not all(_WITHIN.match(reference) for reference in _REFERENCE.findall(text)):
        raise ValueError("it refers to other files, which are not read")
    return _opened(_renderer.png(text.encode()))


def rasterised(text: str, width: int, height: int | None = None) -> Image.Image:
    """A trusted drawing as RGBA that fits into a rectangle, or is so wide. Raises ValueError for a broken one."""
    # Without fonts of the system: a text would look different on every machine.
    return _opened(bytes(resvg_py.svg_to_bytes(svg_string=text, width=width, height=height, skip_system_fonts=True)))


def _opened(png: bytes) -> Image.Image:
    with Image.open(io.BytesIO(png), formats=("PNG",)) as image:
        return image.convert("RGBA")


class _Renderer:
    """A process that draws one SVG after the other; a few kilobytes can take gigabytes, minutes, or abort it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def png(self, text: bytes) -> bytes:
        """The drawing as a PNG. Raises ValueError and HeavyDrawingError."""
        with self._lock:
            process = self._process = self._process or _start()
            timer = threading.Timer(SECONDS, process.kill)
            timer.start()
            try:
                failed, answer = _asked(process, text)
            except (EOFError, OSError) as error:
                self.end()
                raise HeavyDrawingError(
                    f"drawing this SVG takes more than {svg_process.MEMORY >> 20} MB or {SECONDS:.0f} s"
                ) from error
            finally:
                timer.cancel()
        if failed:
            raise ValueError(answer.decode(errors="replace"))
        return answer

    def end(self) -> None:
        """Ends the process, if there is one."""
        process, self._process = self._process, None
        if process:
            process.kill()
            with suppress(OSError), process:  # closes the pipes, of which one is broken perhaps
                pass


def _start() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", svg_process.__file__, str(SIDE)]  # -P: the modules beside it are not importable
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)


def _asked(process: subprocess.Popen[bytes], text: bytes) -> tuple[bool, bytes]:
    assert process.stdin
    assert process.stdout
    process.stdin.write(len(text).to_bytes(4))
    process.stdin.write(text)
    process.stdin.flush()
    head = process.stdout.read(5)
    answer = process.stdout.read(int.from_bytes(head[1:])) if len(head) == 5 else b""
    if len(head) < 5 or len(answer) < int.from_bytes(head[1:]):
        raise EOFError
    return head[0] == 1, answer


_renderer: Final = _Renderer()
atexit.register(_renderer.end)
