"""A certificate as one page (PDF, A4): picture, what was claimed, may I sell it, QR code, proof in small print."""

from __future__ import annotations

from io import BytesIO
from typing import Final
from xml.sax.saxutils import escape

from PIL import Image
from reportlab.graphics.barcode.qr import QrCodeWidget
from reportlab.graphics.shapes import Drawing
from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFError, TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Paragraph

from unikat.certificate import Certificate

MARGIN: Final = 18 * mm
PICTURE: Final = 84 * mm
QR: Final = 34 * mm
_PIXELS: Final = 1200  # of a side, at least: a small picture is enlarged pixel by pixel, not blurred
_INK, _FAINT = HexColor("#1c2430"), HexColor("#5d6875")
_FONT: Final = "Certificate"
_ERASED: Final = "(erased)"


def draw_page(certificate: Certificate, image: bytes) -> bytes:
    """The PDF. `image` is the file that was claimed."""
    _have_font()
    file = BytesIO()
    canvas = Canvas(file, pagesize=A4, invariant=1)  # the same page for the same certificate
    names = certificate.claim.details or {}
    canvas.setTitle(f"Certificate of {names.get('title') or certificate.artwork.hex()[:16]}")
    canvas.setAuthor(certificate.said["log"])
    _head(canvas, certificate)
    top = A4[1] - MARGIN - 26 * mm
    _picture(canvas, image, top)
    _facts(canvas, certificate, top)
    below = _sale(canvas, certificate, top - PICTURE - 8 * mm)
    _proof(canvas, certificate, below - 5 * mm)
    _qr(canvas, certificate.said["link"])
    canvas.showPage()
    canvas.save()
    return file.getvalue()


def _have_font() -> None:
    """A common font with many scripts if there is one, else the one that reportlab brings."""
    try:
        pdfmetrics.registerFont(TTFont(_FONT, "DejaVuSans.ttf"))
    except TTFError:
        pdfmetrics.registerFont(TTFont(_FONT, "Vera.ttf"))


def _style(size: float, faint: bool = False, leading: float = 1.35) -> ParagraphStyle:
    colour = _FAINT if faint else _INK
    return ParagraphStyle("", fontName=_FONT, fontSize=size, leading=size * leading, textColor=colour, wordWrap="CJK")


def _text(canvas: Canvas, markup: str, style: ParagraphStyle, place: tuple[float, float], width: float) -> float:
    """Text below a point (x, y); the y at which it ends."""
    paragraph = Paragraph(markup, style)
    _, height = paragraph.wrap(width, A4[1])
    paragraph.drawOn(canvas, place[0], place[1] - height)
    return place[1] - float(height)


def _head(canvas: Canvas, certificate: Certificate) -> None:
    names = certificate.claim.details or {}
    width = A4[0] - 2 * MARGIN
    y = _text(canvas, "CERTIFICATE OF A CLAIMED WORK", _style(8, faint=True), (MARGIN, A4[1] - MARGIN), width)
    title = names.get("title") or "Untitled"
    size = 20 if len(title) <= 40 else 12 if len(title) <= 110 else 9
    y = _text(canvas, escape(title), _style(size, leading=1.15), (MARGIN, y - 2 * mm), width)
    _text(canvas, escape(f"by {names.get('creator', _ERASED)}"), _style(10, faint=True), (MARGIN, y - 1 * mm), width)


def _picture(canvas: Canvas, image: bytes, top: float) -> None:
    with Image.open(BytesIO(image)) as opened:
        times = max(1, -(-_PIXELS // max(opened.size)))
        large = opened.convert("RGBA").resize((opened.width * times, opened.height * times), Image.Resampling.NEAREST)
    scale = PICTURE / max(large.size)
    width, height = large.width * scale, large.height * scale
    canvas.drawImage(ImageReader(large), MARGIN, top - height, width, height, mask="auto")
    canvas.setStrokeColor(_FAINT)
    canvas.setLineWidth(0.4)
    canvas.rect(MARGIN, top - height, width, height)


def _facts(canvas: Canvas, certificate: Certificate, top: float) -> None:
    entry, recipe = certificate.claim.entry, certificate.claim.entry["recipe"]
    owner, key = certificate.owner
    latent = f"recipe {recipe['recipe']}" if "recipe" in recipe else f"seed {recipe['seed']}, image {recipe['index']}"
    drawn = f"{recipe['model']}, {latent}, truncation {recipe['truncation']}"
    conditions = ", ".join(f"{name} {value}" for name, value in recipe["conditions"].items())
    facts = {
        "Owner": owner or _ERASED,
        "Owner's key": key.hex(),
        "Claimed": entry["time"],
        "Handed on": f"{len(certificate.transfers)} times" if len(certificate.transfers) != 1 else "once",
        "Drawn by": drawn,
        "Conditions": conditions,
        "Entry": f"{certificate.claim.proof.leaf_index} of the log {certificate.said['log']}",
        "Artwork": entry["artwork"],
    }
    x = MARGIN + PICTURE + 7 * mm
    y = top
    for name, value in facts.items():
        y = _text(canvas, name, _style(7, faint=True), (x, y), A4[0] - MARGIN - x)
        y = _text(canvas, escape(value), _style(8), (x, y), A4[0] - MARGIN - x) - 1.6 * mm


def _sale(canvas: Canvas, certificate: Certificate, y: float) -> float:
    terms = certificate.said["model"]
    width = A4[0] - 2 * MARGIN
    y = _text(canvas, "May I sell it?", _style(9.5), (MARGIN, y), width)
    lines = [terms["sale"], *(f"– {line}." for line in terms["asks"])]
    y = _text(canvas, "<br/>".join(map(escape, lines)), _style(7.5), (MARGIN, y - 1 * mm), width)
    size = 5.2 if len(terms["credits"]) < 4000 else 3.2
    credits = "<br/>".join(map(escape, terms["credits"].split("\n")))
    return _text(canvas, credits, _style(size, faint=True), (MARGIN, y - 1.5 * mm), width)


def _proof(canvas: Canvas, certificate: Certificate, y: float) -> None:
    proof, entry = certificate.claim.proof, certificate.claim.entry
    width = A4[0] - 2 * MARGIN - QR - 6 * mm
    y = _text(canvas, "Proof", _style(9.5), (MARGIN, y), width)
    lines = [
        f"SHA-256 of the file {entry['file']}, of the pixels {entry['pixels']['marked']}, of the pixels before the "
        f"watermark {entry['pixels']['unmarked']}; pHash {entry['phash']}.",
        f"Entry {proof.leaf_index} of {proof.tree_size}, by the hashes "
        + (", ".join(each.hex() for each in proof.hashes) or "of a log of one entry") + ".",
        f"Checkpoint: {' '.join(proof.checkpoint.split())}",
        f"Key of the log: {certificate.said['key']}. Signed {certificate.said['issued']}: {certificate.signature}",
        "Verify: unikat verify PICTURE --certificate FILE.json --key KEY",
    ]  # fmt: skip
    _text(canvas, "<br/>".join(map(escape, lines)), _style(4.6, faint=True), (MARGIN, y - 1 * mm), width)


def _qr(canvas: Canvas, link: str) -> None:
    widget = QrCodeWidget(link, barLevel="M")
    left, bottom, right, top = widget.getBounds()
    scale = QR / max(right - left, top - bottom)
    drawing = Drawing(QR, QR, transform=[scale, 0, 0, scale, 0, 0])
    drawing.add(widget)
    x = A4[0] - MARGIN - QR
    drawing.drawOn(canvas, x, MARGIN)
    _text(canvas, escape(link), _style(4.6, faint=True), (x, MARGIN), QR)
