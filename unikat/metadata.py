"""What an image file says of itself to cameras, galleries and search engines: XMP, a pure function of the artwork.

The properties are those of the IPTC Photo Metadata Standard 2025.1 for generated images.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from unikat.batches.layout import conditions_text, parse_conditions
from unikat.conditions import Weights
from unikat.identity import artwork_digest
from unikat.json_text import parse_json
from unikat.recipes.mix import Latent, Mix
from unikat.recipes.text import parse_mix, shortest, text_of
from unikat.sampling import MAX_ATTEMPT, MAX_SEED

SYSTEM: Final = "Unikat"
GENERATED: Final = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
MAX_PACKET: Final = 2**16 - 64  # bytes: a JPEG has a packet in one segment

_PNG: Final = "XML:com.adobe.xmp"  # name of an XMP packet in a PNG
_RDF: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_SPACES: Final = {
    "rdf": _RDF,
    "dc": "http://purl.org/dc/elements/1.1/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
}
_VERSION: Final = "Iptc4xmpExt:AISystemVersionUsed"  # the model's digest
_PREFIX: Final = "unikat:sha256:"  # of an artwork's digest


@dataclass(frozen=True)
class Recipe:
    """What an image was drawn from. `model` is "name@version"; the rest as in an `Artwork`.

    Where there is a `mix`, it is not the latent of a seed and an index, which are 0.
    """

    model: str
    model_digest: str
    weights: Weights
    seed: int
    index: int
    truncation: float
    background: str = ""
    attempt: int = 0
    mix: Mix | None = None

    @property
    def digest(self) -> bytes:
        """The artwork's digest."""
        facts = self.model_digest, self.weights, self.seed, self.index, self.truncation, self.background
        return artwork_digest(*facts, attempt=self.attempt, mix=self.mix)


@dataclass(frozen=True)
class Statement:
    """What a file says of itself: that Unikat generated it, from what recipe, and which artwork (a digest) it is.

    `own` is the digest that follows from the recipe; where no recipe is said, `digest`. What was made from artworks is
    none: `changes` says what was done, `prompt` from what recipe, `source` from which artwork, where it is one.
    """

    is_ours: bool
    system: str
    digest: bytes
    own: bytes
    recipe: Recipe | None
    source: bytes = b""
    changes: str = ""
    prompt: str = ""


class Packets:
    """Makes the packets of one model's images. May be used by several threads."""

    def __init__(self, model: str, model_digest: str) -> None:
        """`model` is "name@version"."""
        version = f" {_VERSION}={quoteattr(model_digest)}"
        self._before = f'{_beginning(f"{SYSTEM}, {model}")}{version} dc:identifier="{_PREFIX}'
        self._recipe = f'{{"model": {json.dumps(model)}, '

    def packet(self, digest: bytes, latent: Latent, attempt: int, text: str) -> bytes:
        """The XMP of an image: the artwork's digest, its latent, and `recipe_text` of what others share.

        A recipe with which it would be larger than MAX_PACKET (a blend of thousands of categories, a mix of many
        vectors) is left out.
        """
        if isinstance(latent, Mix):
            drawn = f'"recipe": "{text_of(latent)}"'
        else:
            drawn = f'"seed": "{latent[0]}", "index": {latent[1]}'
        later = f'"attempt": {attempt}, ' if attempt else ""
        recipe = f"{self._recipe}{drawn}, {later}{text}}}"
        prompt = f"<Iptc4xmpExt:AIPromptInformation>{escape(recipe)}</Iptc4xmpExt:AIPromptInformation>"
        packet = f'{self._before}{digest.hex()}">{prompt}{_END}'.encode()
        return packet if len(packet) <= MAX_PACKET else f'{self._before}{digest.hex()}">{_END}'.encode()


def _beginning(system: str) -> str:
    spaces = "".join(f' xmlns:{name}="{space}"' for name, space in _SPACES.items())
    return (
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF{spaces}><rdf:Description rdf:about=""'
        f' Iptc4xmpExt:DigitalSourceType="{GENERATED}" xmp:CreatorTool="Unikat"'
        f" Iptc4xmpExt:AISystemUsed={quoteattr(system)}"
    )


_END: Final = "</rdf:Description></rdf:RDF></x:xmpmeta>"


def of_several() -> PngInfo:
    """For a PNG in which several images are shown, as Pillow's `save` takes it: generated, without a recipe."""
    return png_info(f"{_beginning(SYSTEM)}>{_END}".encode())


@dataclass(frozen=True)
class Derivation:
    """How a picture or a film was made from artworks.

    `changes` says in words what was done to them; `prompt` is the JSON of what they were drawn from; `model` is
    "name@version"; `source` is the digest of the artwork, where it is a single one.
    """

    model: str
    model_digest: str
    prompt: str
    changes: str
    source: bytes = b""

    @property
    def packet(self) -> bytes:
        """The XMP: `dc:source` in place of `dc:identifier`, because it is not the artwork itself.

        A prompt with which it would be larger than MAX_PACKET is left out.
        """
        beginning = f"{_beginning(f'{SYSTEM}, {self.model}')} {_VERSION}={quoteattr(self.model_digest)}"
        source = f' dc:source="{_PREFIX}{self.source.hex()}"' if self.source else ""
        changes = f'<rdf:Alt><rdf:li xml:lang="x-default">{escape(self.changes)}</rdf:li></rdf:Alt>'
        head, tail = f"{beginning}{source}><dc:description>{changes}</dc:description>", _END
        prompt = f"<Iptc4xmpExt:AIPromptInformation>{escape(self.prompt)}</Iptc4xmpExt:AIPromptInformation>"
        packet = f"{head}{prompt}{tail}".encode()
        return packet if len(packet) <= MAX_PACKET else f"{head}{tail}".encode()


def png_info(packet: bytes) -> PngInfo:
    """A packet as Pillow's `save` of a PNG takes it."""
    info = PngInfo()
    info.add_itxt(_PNG, packet.decode())
    return info


def recipe_text(weights: Weights, truncation: float, background: str) -> str:
    """The part of a recipe that the images of a job may share, as JSON without its braces.

    The truncation is the shortest text that is the same float32; weights are texts, as in a manifest.
    """
    fields: dict[str, Any] = {"truncation": shortest(truncation), "conditions": conditions_text(weights)}
    if background:
        fields["background"] = background
    return json.dumps(fields, ensure_ascii=False)[1:-1]


def read_statement(data: bytes) -> Statement | None:
    """What an image file says of itself; None where it says nothing.

    Raises OSError for what is no image file, or has too many pixels (Pillow's limit).
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            packet = image.info.get("xmp") or image.info.get(_PNG)
    except (ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise OSError(str(error)) from error
    if not packet or len(packet) > MAX_PACKET:
        return None
    try:
        found = _properties(packet)
        changes = found.get("description", "")
        digest, source = _digest(found.get("identifier", "")), _digest(found.get("source", ""))
        recipe = None if changes else _recipe(found)
        own = recipe.digest if recipe else digest
    except (ElementTree.ParseError, ValueError, OverflowError, KeyError, TypeError, AttributeError, RecursionError):
        return Statement(is_ours=False, system="", digest=b"", own=b"", recipe=None)
    system = found.get("AISystemUsed", "")
    is_ours = found.get("DigitalSourceType") == GENERATED and system.partition(",")[0] == SYSTEM
    return Statement(is_ours, system, digest, own, recipe, source, changes, found.get("AIPromptInformation", ""))


def _digest(text: str) -> bytes:
    """Raises ValueError for what begins as a digest of ours and is none."""
    return bytes.fromhex(text.removeprefix(_PREFIX)) if text.startswith(_PREFIX) else b""


def _properties(packet: str | bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    for description in ElementTree.fromstring(packet).iter(f"{{{_RDF}}}Description"):
        found |= {name.rpartition("}")[2]: value for name, value in description.attrib.items()}
        found |= {child.tag.rpartition("}")[2]: "".join(child.itertext()) for child in description}
    return found


def _recipe(found: Mapping[str, str]) -> Recipe | None:
    """Raises ValueError, KeyError, TypeError, AttributeError and OverflowError for what is no recipe."""
    if "AIPromptInformation" not in found:
        return None
    said = parse_json(found["AIPromptInformation"])
    mix = parse_mix(said["recipe"]) if "recipe" in said else None
    return Recipe(
        str(said["model"]),
        found["AISystemVersionUsed"],
        parse_conditions(said["conditions"]),
        0 if mix else _whole(said["seed"], MAX_SEED),
        0 if mix else _whole(said["index"], 2**32 - 1),
        struct.unpack("f", struct.pack("f", float(said["truncation"])))[0],
        str(said.get("background", "")),
        _whole(said.get("attempt", 0), MAX_ATTEMPT),
        mix,
    )


def _whole(value: Any, most: int) -> int:  # noqa: ANN401  # JSON
    found = int(value)
    if not 0 <= found <= most:
        raise ValueError(f"{found} is not from 0 to {most}")
    return found
