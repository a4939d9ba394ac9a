"""How much a mark changes a picture. SSIM and CIEDE2000 are scikit-image's, where it is installed."""

from __future__ import annotations

from importlib import import_module
from typing import Final

import numpy as np

from benchmarks.provenance.pictures import BATCH, Pixels
from unikat_worker.encoding import encode

NOT_MEASURED: Final = "–"
_FLAT: Final = 2  # grey levels by which the pixels within 5 × 5 may differ from one another


def psnr(plain: Pixels, marked: Pixels) -> float:
    """Mean over pictures (N, H, W, 3), dB."""
    errors = ((plain.astype(np.float64) - marked) ** 2).mean(axis=(1, 2, 3))
    return float((10 * np.log10(255**2 / np.maximum(errors, 1e-9))).mean())


def ssim(plain: Pixels, marked: Pixels) -> str:
    """Mean structural similarity."""
    try:
        similarity = import_module("skimage.metrics").structural_similarity
    except ImportError:
        return NOT_MEASURED
    pairs = zip(plain, marked, strict=True)
    return f"{np.mean([similarity(a, b, channel_axis=2) for a, b in pairs]):.3f}"


def flat_differences(plain: Pixels, marked: Pixels) -> str:
    """CIEDE2000 of the pixels around which all is of one colour: mean, and what 99% do not exceed."""
    try:
        color = import_module("skimage.color")
    except ImportError:
        return NOT_MEASURED
    flat = np.stack([_flat(picture) for picture in plain])
    if not flat.any():
        return NOT_MEASURED
    found = color.deltaE_ciede2000(color.rgb2lab(plain), color.rgb2lab(marked))[flat]
    return f"{found.mean():.2f}, {np.quantile(found, 0.99):.2f}"


def _flat(picture: Pixels) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    windows = np.lib.stride_tricks.sliding_window_view(
        np.pad(picture, ((2, 2), (2, 2), (0, 0)), "edge"), (5, 5), (0, 1)
    )
    spans = windows.max(axis=(3, 4)).astype(np.int16) - windows.min(axis=(3, 4))
    flat: np.ndarray[tuple[int, ...], np.dtype[np.bool_]] = spans.max(axis=2) <= _FLAT
    return flat


def growth(plain: Pixels, marked: Pixels) -> str:
    """Bytes of the worker's PNG files, marked against plain."""
    sizes = [
        sum(
            len(file) for first in range(0, len(batch), BATCH) for file in encode(batch[first : first + BATCH], "png-3")
        )
        for batch in (plain, marked)
    ]
    return f"{sizes[1] / sizes[0] - 1:+.0%}"
