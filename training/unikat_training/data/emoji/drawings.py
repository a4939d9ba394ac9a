"""The drawings of one style: an SVG text or a raster file for each emoji, by its hexcode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from unikat_training.data.emoji.catalogue import Catalogue, normal_hexcode
from unikat_training.data.emoji.packages import read_files, read_json


@dataclass(frozen=True)
class Icons:
    """What a style's package holds: Iconify's tables, or raster files."""

    rasters: dict[str, bytes]  # by hexcode; none where there are tables
    icons: dict[str, Any] = field(default_factory=dict)  # Iconify's document: its sizes, and drawings by name
    hexcodes: dict[str, str] = field(default_factory=dict)  # of the drawings' names, where the package has a table

    @classmethod
    def read(cls, tarball: Path) -> Icons:
        icons, names = read_json(tarball, "icons.json", "chars.json")
        if icons is None:
            files = read_files(tarball, "assets/")
            return cls({normal_hexcode(PurePosixPath(path).stem): content for path, content in files.items()})
        return cls({}, icons, {name: normal_hexcode(hexcode) for hexcode, name in (names or {}).items()})

    def drawings(self, catalogue: Catalogue, names: Mapping[str, str]) -> tuple[dict[str, bytes], list[str]]:
        """Hexcode -> drawing, sorted, and the names of drawings of which nobody knows what they show.

        `names` are hexcodes of names that other packages know; they help for packages without a table of their own.
        """
        drawings, unknown = dict(self.rasters), []
        for name, icon in sorted(self.icons.get("icons", {}).items()):
            hexcode = self.hexcodes.get(name) or names.get(name) or catalogue.find(name)
            if icon.get("hidden"):  # withdrawn by its designer, kept by Iconify for old pages
                continue
            if hexcode is None:
                unknown.append(name)
            else:
                drawings.setdefault(hexcode, self._svg(icon))
        return dict(sorted(drawings.items())), unknown

    def _svg(self, icon: dict[str, Any]) -> bytes:
        # Iconify's defaults: 16 x 16 at (0, 0); an icon may overrule its collection.
        width, height = (icon.get(key, self.icons.get(key, 16)) for key in ("width", "height"))
        left, top = (icon.get(key, 0) for key in ("left", "top"))
        # A square box around the drawing, so that nothing is stretched.
        side = max(width, height)
        box = f"{left - (side - width) / 2:g} {top - (side - height) / 2:g} {side:g} {side:g}"
        return (
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'width="{side:g}" height="{side:g}" viewBox="{box}">{icon["body"]}</svg>'
        ).encode()
