"""One portrait: what it shows is decided by a random number generator, then it is drawn on nothing."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from unikat_training.data.portraits.styles import Style, definition, styles
from unikat_training.data.svg import rasterised

if TYPE_CHECKING:
    import dicebear  # loads a parser of IRIs, 2 s, which only who draws waits for

SKIN: Final = {"pale": "#ffe3cc", "beige": "#f2c08f", "tan": "#d0935f", "brown": "#96602f", "deep": "#5c3822"}
HAIR: Final = {
    "black": "#1d1a1e",
    "brown": "#6b4126",
    "red": "#c0481f",
    "blond": "#edc65a",
    "grey": "#b9bcc4",
    "blue": "#2f7fe0",
    "green": "#35a35a",
    "pink": "#ea6fae",
}
CLOTHES: Final = (
    *("#e64980", "#f76707", "#fab005", "#40c057", "#12b886"),
    *("#228be6", "#4c6ef5", "#7950f2", "#f1f3f5", "#343a40"),
)
# Relative frequencies; what a style does not have is left out.
HAIR_WEIGHTS: Final = {"bald": 0.12, "covered": 0.13, "short": 0.4, "long": 0.35}
GLASSES_WEIGHTS: Final = {"none": 0.55, "clear": 0.27, "dark": 0.18}
FACIAL_HAIR: Final = 0.3  # share of portraits with it, in styles that have it
NO_HAIR: Final = "none"  # the hair colour of who shows no hair
_VIEW_BOX: Final = re.compile(r'viewBox="[^"]*"')

Options = dict[str, Any]


@dataclass(frozen=True)
class Portrait:
    """What a portrait shows: one category of each attribute."""

    style: str
    skin: str
    hair_color: str
    hair: str
    glasses: str
    facial_hair: str
    mood: str

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(vars(self).values())


def compose(style: Style, rng: random.Random) -> tuple[Portrait, Options]:
    """A portrait that the style can draw, and DiceBear's options for it."""
    hair = _weighted(rng, HAIR_WEIGHTS, style.hairs)
    colour = rng.choice(list(HAIR)) if style.hair_colour else "black"
    glasses = _weighted(rng, GLASSES_WEIGHTS, style.spectacles)
    mood = rng.choice(style.moods)
    skin = rng.choice(list(SKIN))
    bearded = style.facial_hair is not None and rng.random() < FACIAL_HAIR
    if style.glasses and style.facial_hair and style.glasses.component == style.facial_hair.component:
        bearded = bearded and glasses == "none"  # one component cannot be both
    shown = hair in ("short", "long") or (hair == "covered" and bool(style.hat))
    portrait = Portrait(style.name, skin, colour if shown else NO_HAIR, hair, glasses, "yes" if bearded else "no", mood)
    options: Options = {"seed": f"{rng.random():.12f}", "backgroundColor": []}
    components = definition(style.name)["components"]
    options |= {f"{name}Probability": 0 for name, each in components.items() if "probability" in each}
    options |= {f"{name}Probability": 0 for name in style.never}
    options |= {f"{name}Probability": 100 for name in style.always}
    options |= {f"{name}Variant": list(variants) for name, variants in style.fixed.items()}
    options |= _hair(style, hair, colour, rng)
    options |= _face(style, portrait, rng)
    options |= _colours(style, skin, colour, rng)
    return portrait, options


def _weighted(rng: random.Random, weights: Mapping[str, float], names: tuple[str, ...]) -> str:
    return rng.choices(names, [weights[name] for name in names])[0]


def _hair(style: Style, hair: str, colour: str, rng: random.Random) -> Options:
    variants = style.hair.variants[hair]
    if style.hat and hair == "covered":
        under = rng.choice(style.hair.variants["short"])
        return {**_shown(style.hat, rng.choice(variants)), **_shown(style.hair.component, under)}
    if style.tinted and hair in ("short", "long"):
        variants = [variant for variant in variants if (variant in style.tinted) == (colour != "black")]
    variant = rng.choice(variants)
    return _shown(style.hair.component, variant) if variant else {f"{style.hair.component}Probability": 0}


def _face(style: Style, portrait: Portrait, rng: random.Random) -> Options:
    options: Options = {f"{style.mood.component}Variant": rng.choice(style.mood.variants[portrait.mood])}
    if style.brows is not None:
        options[f"{style.brows.component}Variant"] = list(style.brows.variants[portrait.mood])
    if style.glasses is not None and portrait.glasses in style.glasses.variants:
        options |= _shown(style.glasses.component, rng.choice(style.glasses.variants[portrait.glasses]))
    if style.facial_hair is not None and portrait.facial_hair == "yes":
        options[f"{style.facial_hair.component}Probability"] = 100
        if style.facial_hair.variants:
            options |= _shown(style.facial_hair.component, rng.choice(style.facial_hair.variants["yes"]))
    return options


def _colours(style: Style, skin: str, colour: str, rng: random.Random) -> Options:
    options = {f"{style.skin}Color": SKIN[skin]}
    for name in (style.hair_colour, style.beard_colour):
        if name:
            options[f"{name}Color"] = HAIR[colour]
    if style.glasses_colour:
        options[f"{style.glasses_colour}Color"] = HAIR["black"]
    if style.clothes_colour:
        options[f"{style.clothes_colour}Color"] = rng.choice(CLOTHES)
    return options


def _shown(component: str, variant: str) -> Options:
    return {f"{component}Probability": 100, f"{component}Variant": variant}


@cache
def _drawable(name: str) -> tuple[dicebear.Style, str]:
    """DiceBear's own form of a style, and the view box of its window."""
    import dicebear

    found = definition(name)
    left, top, side = styles()[name].window
    width, height = found["canvas"]["width"], found["canvas"]["height"]
    box = f'viewBox="{left * width:.3f} {top * height:.3f} {side * width:.3f} {side * width:.3f}"'
    return dicebear.Style(found), box


def draw(style: str, options: Options, size: int) -> npt.NDArray[np.uint8]:
    """The portrait as (size, size, 4): colour and alpha, not multiplied; black where nothing is drawn."""
    import dicebear

    drawable, box = _drawable(style)
    svg = _VIEW_BOX.sub(box, str(dicebear.Avatar(drawable, options)), count=1)
    return np.asarray(rasterised(svg, size, size), dtype=np.uint8)
