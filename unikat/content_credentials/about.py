"""What credentials say of a picture, and how it is written: as assertions of C2PA 2.4 and CAWG."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import cache
from importlib.metadata import version
from typing import Any, Final, Self

from unikat.artwork import Renderer, where_of
from unikat.conditions import are_weights
from unikat.recipes.messages import mix_of_message
from unikat.recipes.mix import Mix
from unikat.recipes.text import parse_mix, text_of
from unikat.request import Where
from unikat.v1 import studio_pb2
from unikat.watermark import payload_bytes

AGENT: Final = "Unikat"
SOURCE_TYPE: Final = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
MODEL_TYPE: Final = "c2pa.types.model.onnx"  # C2PA 2.4, table 12
MARK: Final = "unikat.mark.1"  # algorithm of the watermark

ACTIONS: Final = "c2pa.actions.v2"
DISCLOSURE: Final = "c2pa.ai-disclosure"
TRAINING: Final = "cawg.training-mining"  # CAWG 1.1; C2PA 2.0 removed its own
SOFT_BINDING: Final = "c2pa.soft-binding"
ARTWORK: Final = "unikat.artwork"

_USES: Final = ("cawg.data_mining", "cawg.ai_inference", "cawg.ai_generative_training", "cawg.ai_training")


class Training(StrEnum):
    """Whether others may mine the picture, infer from it, and train with it."""

    ALLOWED = "allowed"
    NOT_ALLOWED = "notAllowed"
    CONSTRAINED = "constrained"  # not without asking


@dataclass(frozen=True)
class About:
    """What is said of a picture: the model, and all that is needed to draw it again.

    `model` is "name@version", `conditions` name every attribute, `background` is "#rrggbbaa" for a model with alpha;
    `recipe` (`unikat.recipes.text`) is the latent where it is not that of a seed and an index, which are then 0;
    `digest` is the artwork's, 32 bytes, and `mark` the bytes that its watermark carries; both may be left out.
    """

    model: str
    model_digest: str
    artwork_id: str
    seed: int
    index: int
    conditions: Where
    truncation: float
    background: str = ""
    renderer: Renderer | None = None
    digest: bytes = b""
    mark: bytes = b""
    training: Training = Training.NOT_ALLOWED
    attempt: int = 0
    recipe: str = ""

    @classmethod
    def of(cls, artwork: studio_pb2.Artwork, model: str, training: Training = Training.NOT_ALLOWED) -> Self:
        """Of an artwork that the model "name@version" drew."""
        mix = mix_of_message(artwork.recipe) if artwork.HasField("recipe") else None
        latent = (artwork.seed, artwork.index) if mix is None else mix.latent
        seed, index = (0, 0) if isinstance(latent, Mix) else latent
        return cls(
            model=model, model_digest=artwork.model_digest, artwork_id=artwork.id, seed=seed, index=index,
            recipe=text_of(latent) if isinstance(latent, Mix) else "", conditions=where_of(artwork.conditions),
            truncation=artwork.truncation,
            background=artwork.background, digest=artwork.digest,
            renderer=Renderer.of(artwork.renderer),
            mark=artwork.digest[:payload_bytes(artwork.height, artwork.width)] if artwork.renderer.mark else b"",
            training=training, attempt=artwork.originality.attempt,
        )  # fmt: skip

    def manifest(self) -> dict[str, Any]:
        """The manifest's definition, as c2pa takes it. All assertions are the signer's own ("created")."""
        agent = {"name": AGENT, "version": _version()}
        action = {"action": "c2pa.created", "digitalSourceType": SOURCE_TYPE, "softwareAgent": agent}
        disclosure = {"modelType": MODEL_TYPE, "modelName": self.model, "modelIdentifier": self.model_digest}
        statements: dict[str, Any] = {
            ACTIONS: {"actions": [action]},
            DISCLOSURE: disclosure,
            TRAINING: {"entries": {use: {"use": str(self.training)} for use in _USES}},
            ARTWORK: self._recipe(),
        }
        if self.mark:
            statements[SOFT_BINDING] = {"alg": MARK, "blocks": [{"scope": {}, "value": self.mark.hex()}]}
        return {
            "claim_generator_info": [agent],
            "title": f"{self.model}, {self.recipe[:100] or f'seed {self.seed}, image {self.index}'}",
            "assertions": [{"label": label, "data": data, "created": True} for label, data in statements.items()],
        }

    def _recipe(self) -> dict[str, Any]:
        recipe: dict[str, Any] = {
            "id": self.artwork_id, "model": self.model, "modelDigest": self.model_digest,
            # A seed has 64 bits, which JavaScript's numbers do not hold.
            **({"recipe": self.recipe} if self.recipe else {"seed": str(self.seed), "index": self.index}),
            "conditions": {n: each if isinstance(each, str) else dict(each) for n, each in self.conditions.items()},
            "truncation": self.truncation,
        }  # fmt: skip
        if self.background:
            recipe["background"] = self.background
        if self.attempt:
            recipe["attempt"] = self.attempt
        if self.renderer is not None:
            recipe["renderer"] = asdict(self.renderer)
        if self.digest:
            recipe["digest"] = f"sha256:{self.digest.hex()}"
        return recipe

    @classmethod
    def from_assertions(cls, said: Mapping[str, Any]) -> Self | None:
        """What assertions, label to data, say; None unless they are such as `manifest` writes."""
        try:
            recipe, training = said[ARTWORK], said[TRAINING]["entries"][_USES[0]]["use"]
            conditions = dict(recipe["conditions"])
            blends = {name: weights for name, weights in conditions.items() if not isinstance(weights, str)}
            if not are_weights(blends) or not all(sum(weights.values()) > 0 for weights in blends.values()):
                return None
            drawn_by, has_mix = recipe.get("renderer"), "recipe" in recipe
            bindings = said.get(SOFT_BINDING, {"alg": MARK, "blocks": [{"value": ""}]})
            return cls(
                model=str(recipe["model"]), model_digest=str(recipe["modelDigest"]), artwork_id=str(recipe["id"]),
                recipe=text_of(parse_mix(recipe["recipe"])) if has_mix else "",
                seed=0 if has_mix else int(recipe["seed"]), index=0 if has_mix else int(recipe["index"]),
                conditions=conditions,
                truncation=float(recipe["truncation"]), background=str(recipe.get("background", "")),
                renderer=None if drawn_by is None else Renderer(**drawn_by),
                digest=bytes.fromhex(recipe.get("digest", "sha256:").removeprefix("sha256:")),
                mark=bytes.fromhex(bindings["blocks"][0]["value"]) if bindings["alg"] == MARK else b"",
                training=Training(training), attempt=int(recipe.get("attempt", 0)),
            )  # fmt: skip
        except (KeyError, IndexError, TypeError, ValueError, AttributeError):
            return None


@cache
def _version() -> str:
    return version("unikat")  # 0.4 ms: it reads the metadata of the install
