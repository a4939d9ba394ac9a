"""The drawings of one style: an SVG text or a raster file for each hexcode."""

from __future__ import annotations

from collections.abc import Mapping

from unikat_training.data import fields
from unikat_training.data.emoji.catalogue import Catalogue, normal_hexcode
from unikat_training.data.emoji.packages import Tarball
from unikat_training.data.fields import DatasetError, Object

ICONS, CHARS = "icons.json", "chars.json"  # Iconify's layout: drawings by name, names by hexcode


def chars_of(tarball: Tarball) -> dict[str, str]:
    """Drawing name -> hexcode, as the package itself says; empty when it does not say."""
    names = tarball.objects(CHARS).get(CHARS, {})
    return {str(name): normal_hexcode(hexcode) for hexcode, name in names.items()}


def drawings_of(tarball: Tarball, catalogue: Catalogue, names: Mapping[str, str]) -> tuple[dict[str, bytes], list[str]]:
    """Hexcode -> drawing, sorted, and the names of drawings of which nobody knows what they show.

    `names` are drawing names that other packages know; they help for packages without a table of their own.
    """
    documents = tarball.objects(ICONS, CHARS)
    if ICONS not in documents:
        rasters = {normal_hexcode(_stem(path)): content for path, content in tarball.files("assets/")}
        return dict(sorted(rasters.items())), []
    own = {str(name): normal_hexcode(hexcode) for hexcode, name in documents.get(CHARS, {}).items()}
    drawings: dict[str, bytes] = {}
    unknown = []
    icons = fields.mapping(documents[ICONS], "icons")
    for name in sorted(icons):
        icon = fields.as_object(icons[name], f"{ICONS}: {name}")
        if icon.get("hidden"):  # withdrawn by its designer, kept by Iconify for old pages
            continue
        hexcode = own.get(name) or names.get(name) or catalogue.find(name)
        if hexcode is None:
            unknown.append(name)
        else:
            drawings.setdefault(hexcode, _svg(icon, documents[ICONS]))
    return dict(sorted(drawings.items())), unknown


def _stem(path: str) -> str:
    return path.rpartition("/")[2].rpartition(".")[0]


def _svg(icon: Object, document: Object) -> bytes:
    # Iconify's defaults: 16 x 16 at (0, 0); an icon may overrule its collection.
    width, height = (_number(icon.get(key, document.get(key, 16))) for key in ("width", "height"))
    left, top = (_number(icon.get(key, 0)) for key in ("left", "top"))
    # A square box around the drawing, so that nothing is stretched.
    side = max(width, height)
    box = f"{left - (side - width) / 2:g} {top - (side - height) / 2:g} {side:g} {side:g}"
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="{side:g}" height="{side:g}" viewBox="{box}">{fields.text(icon, "body")}</svg>'
    ).encode()


def _number(value: object) -> float:
    if isinstance(value, int | float):
        return float(value)
    raise DatasetError(f"{ICONS}: a size is {value!r}; expected a number")
