"""What images must meet to be delivered: settings and request together, checked before anything is enqueued."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from google.rpc.code_pb2 import Code

from unikat.bundle import key_of
from unikat.conditions import Denied, FieldError, Weights, choices
from unikat.errors import Reason, UnikatError, bad_field, error_of, make_status
from unikat.queue.job import TERMS
from unikat.refusal import ENFORCE, reason_name
from unikat.v1.model_pb2 import Model
from unikat.v1.studio_pb2 import Condition, Refused
from unikat_service.catalogue import Snapshot

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Terms:
    """`originality` is "warn", "enforce" or "", `attempt` what drawing begins with, `deny` what must not be drawn.

    `recipe`: images are not those of a seed. `credentials`: the worker is to sign.
    """

    originality: str = ""
    attempt: int = 0
    deny: Denied = field(default_factory=dict)
    recipe: bool = False
    credentials: bool = False

    @property
    def required(self) -> list[str]:
        """The fields of a job that say so (`unikat.queue.job.TERMS`) and that no worker may pass over."""
        asked = {
            "originality": self.originality == ENFORCE,
            "attempt": self.attempt,
            "deny": self.deny,
            "recipe": self.recipe,
            "credentials": self.credentials,
        }
        return [name for name in TERMS if asked[name]]


def denied(model: Model, settings: Mapping[str, Denied]) -> Denied:
    """What is denied of a model; what this version does not have is warned of."""
    of = settings.get(model.name, {})
    if not of:
        return {}
    known = {attribute.name: {category.name for category in attribute.categories} for attribute in model.attributes}
    found: dict[str, list[str]] = {}
    for name, category in [(name, category) for name, categories in of.items() for category in categories]:
        if category in known.get(name, ()):
            found.setdefault(name, []).append(category)
        else:
            _warn(key_of(model), name, category)
    return found


@lru_cache(1024)  # once each
def _warn(key: str, attribute: str, category: str) -> None:
    log.warning("--deny: %s has no %s=%s: nothing of it is denied", key, attribute, category)


def denied_problems(
    model: Model, conditions: Sequence[Condition], deny: Denied, field: str = "conditions"
) -> Iterator[FieldError]:
    """Conditions that ask for what is denied, with the choices that are left."""
    if not deny:  # as almost everywhere, in every call
        return
    for position, condition in enumerate(conditions):
        name = condition.attribute
        asked = [condition.category] if condition.WhichOneof("value") == "category" else condition.blend.weights
        for category in sorted(set(asked) & set(deny.get(name, ()))):
            every = next(attribute.categories for attribute in model.attributes if attribute.name == name)
            left = choices(each.name for each in every if each.name not in deny[name])
            yield FieldError(
                f"{field}[{position}]", f'"{category}" is not delivered by this service; choose from {left}'
            )


def left_open(weights: Weights, deny: Denied) -> Denied:
    """What workers have to look for: what is denied of attributes that a request leaves open."""
    return {name: categories for name, categories in deny.items() if name not in weights}


def require_terms(model: Model, terms: Terms, snapshot: Snapshot) -> None:
    """Raises UnikatError (FAILED_PRECONDITION) where a worker of the model would draw regardless of them."""
    ignored = [name for name in terms.required if name not in snapshot.terms.get(model.digest, ())]
    if ignored:
        text = f"a worker that serves {key_of(model)} is of a release that knows no {ignored[0]}: update all workers"
        raise error_of(bad_field(ignored[0], text, Code.FAILED_PRECONDITION, Reason.OLD_WORKER))
    if terms.originality == ENFORCE and model.digest not in snapshot.indexed:
        text = f"the bundle of {key_of(model)} has no index of its training pictures: nothing can be compared"
        raise error_of(bad_field("originality", text, Code.FAILED_PRECONDITION, Reason.NO_ORIGINALITY))


def not_delivered(refused: Refused) -> UnikatError:
    """FAILED_PRECONDITION: the one image of a call is refused."""
    name = reason_name(refused.reason)
    reason = Reason(name) if name in Reason.__members__ else Reason.CONTENT  # of a worker of a later release
    text = f"image {refused.index} was drawn and is not delivered: {refused.detail}"
    return error_of(make_status(Code.FAILED_PRECONDITION, text, reason, digest=refused.digest.hex()))
