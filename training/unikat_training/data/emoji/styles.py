"""The seven styles: whose drawings, under which licence, in which pinned package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from unikat_training.data.dataset import Source
from unikat_training.data.emoji.packages import Package


@dataclass(frozen=True)
class Style:
    """One designer's set. `scale` evens out how much of the canvas the designers leave empty."""

    name: str
    package: Package
    licence: str
    credit: str
    scale: float = 1.0
    # The package fills gaps of the set with another designer's art: keep only what this style has too.
    only_with: str = ""

    @property
    def source(self) -> Source:
        """As the data set records it."""
        return Source(self.name, self.package.spec, self.licence, self.credit)


# Names, groups and skin tones; no drawings.
CATALOGUE: Final = Package(
    "emojibase-data",
    "17.0.0",
    "sha512-Yvgb5AWoHViHV/gq1qr5ZAarcBip+B27/ZLRsUJkbgAEaLlZ/fof9g882LTpmEpyhBNEC0m2SEmItljHsTygjA==",
)
CATALOGUE_SOURCE: Final = Source("labels", CATALOGUE.spec, "MIT", "Emojibase by Miles Johnson")

STYLES: Final = (
    Style(
        "fluent3d",
        Package(
            "@lobehub/fluent-emoji-3d",
            "1.1.0",
            "sha512-Wlq2lVStTnr8BDpIJ0pEnTKO4LuDxxqTEhTvRtD1DLRF0me7ogeRQjKoehDHXuVJ2Qaecgl5wRBv60lUAG3h7g==",
        ),
        "MIT",
        "Fluent Emoji (3D) by Microsoft Corporation, packaged by LobeHub",
        scale=1.04,
        only_with="fluentflat",
    ),
    Style(
        "fluentflat",
        Package(
            "@iconify-json/fluent-emoji-flat",
            "1.2.6",
            "sha512-RY47RgPb47fYUiyrA64sIOL0+UU02s29sXpNBbIQRBUlPlfNFTKUmZDERGuxDs/7yNGWqQYvuaSYM1M4fRXlUw==",
        ),
        "MIT",
        "Fluent Emoji (Flat) by Microsoft Corporation",
        scale=1.04,
    ),
    Style(
        "fluentmono",
        Package(
            "@iconify-json/fluent-emoji-high-contrast",
            "1.2.6",
            "sha512-esqhZPpkrF7sNX3NsLoh8KW64okEr/bzko7WNnFP+qTJGAqDPDYjp0925yxuivXy3HtVQB8xhIKu3+Nq1byX5w==",
        ),
        "MIT",
        "Fluent Emoji (High Contrast) by Microsoft Corporation",
    ),
    Style(
        "noto",
        Package(
            "@iconify-json/noto",
            "1.2.9",
            "sha512-DQiuXENbun41ch+XPSV55H9FaWKpHTyz46YIKtSaKYD4fIDDzL1tR6H4np/T38jfrTAeI3rcKF0mqHYeZVAuaw==",
        ),
        "Apache-2.0",
        "Noto Emoji by Google Inc.",
    ),
    Style(
        "blob",
        Package(
            "@iconify-json/noto-v1",
            "1.2.5",
            "sha512-/DsVMius69Q0fRS53z7QK1TROSuar606jiIx+laXtdsYGMXpf6LtHBx6CGfoo3UHHb/XpBsw+1L1x3eyPqMuVA==",
        ),
        "Apache-2.0",
        "Noto Emoji, version 1 (blobs), by Google Inc.",
        scale=0.95,
    ),
    Style(
        "twemoji",
        Package(
            "@iconify-json/twemoji",
            "1.2.5",
            "sha512-uKpuIEV0v6K5BW3Mjdyl+XKFVAbbcPxAgifKvEMtZoUZB5+YiY5zaMm2uNNCxyXzAWU9yNLlj41WU6/mvgALsw==",
        ),
        "CC-BY-4.0",
        "Twemoji by Twitter, Inc. and other contributors (maintained at github.com/jdecked/twemoji)",
        scale=0.94,
    ),
    Style(
        "emojione",
        Package(
            "@iconify-json/emojione",
            "1.2.3",
            "sha512-T9+T3HIbJNLKKsmxYKlaYhvnHYkz/HNYTV7SHCXVZPfeUi4FqskY70YeN8yYAZT8cCv7w5vJxS4Q1m8zb9CMMg==",
        ),
        "CC-BY-4.0",
        "EmojiTwo (github.com/EmojiTwo/emojitwo), originally released as EmojiOne 2 by Ranks.com",
        scale=0.97,
    ),
)

# images.npy by resolution, as resvg-py 0.5.0 and Pillow 13.0.0 made it; other versions may round otherwise.
RECORDED_DIGESTS: Final = {
    32: "sha256:a665d0b1a01e7c58807c746358ef24fffdf0fcb9f46d96fc662cc71aa93658d0",
    64: "sha256:fea23f7e4c29a8ae2de41f3fcfce863cebd809acfaee0d5006b017ce05e6b9eb",
}
