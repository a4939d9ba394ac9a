"""Requests, checked field by field before anything is enqueued."""

from __future__ import annotations

import hashlib
import math
import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from google.protobuf.message import DecodeError, Message
from google.rpc.code_pb2 import Code

from unikat.background import WHITE, canonical, is_opaque
from unikat.bundle import RGBA, key_of, parse_reference
from unikat.conditions import FieldError, Weights, check_conditions
from unikat.encoders import WITH_ALPHA
from unikat.errors import Reason, UnikatError, bad_field, error_of
from unikat.queue.job import fingerprint
from unikat.recipes.sequence import MixSequence
from unikat.sampling import MAX_ATTEMPT
from unikat.statuses import invalid
from unikat.v1.batches_pb2 import CreateBatchRequest, Plan
from unikat.v1.model_pb2 import Model
from unikat.v1.studio_pb2 import CREDENTIALS_NONE, Credentials, GenerateRequest, ImageFormat, OriginalityMode
from unikat_service.catalogue import Catalogue
from unikat_service.limits import limit_problems, size_problem
from unikat_service.recipes import check_recipe, check_walk, sequence_problems
from unikat_service.settings import Settings
from unikat_service.terms import Terms, denied, denied_problems, left_open

REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")

_FORMATS: Final = frozenset(ImageFormat.values())
_MODES: Final = frozenset(OriginalityMode.values())
_CREDENTIALS: Final = frozenset(Credentials.values())

M = TypeVar("M", bound=Message)


@dataclass(frozen=True)
class Order:
    """A request whose every field is right, resolved against the model that will draw it."""

    request: GenerateRequest
    fingerprint: str
    model: Model
    weights: Weights
    seed: int
    truncation: float
    image_format: ImageFormat
    background: str
    terms: Terms
    sequence: MixSequence | None = None

    @property
    def is_signed(self) -> bool:
        """Whether the images get Content Credentials."""
        return self.request.credentials > CREDENTIALS_NONE


def parse(kind: type[M], data: bytes) -> M:
    """A message from its bytes, all its texts, lists and maps within their limits.

    Raises UnikatError (INVALID_ARGUMENT).
    """
    message = parse_unchecked(kind, data)
    check_limits(message)
    return message


def parse_unchecked(kind: type[M], data: bytes) -> M:
    """A message from its bytes, of which only the size is checked. Raises UnikatError (INVALID_ARGUMENT)."""
    name = kind.DESCRIPTOR.full_name
    if problem := size_problem(name, len(data)):
        raise invalid([problem])
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise invalid([FieldError("request", f"is not a {name}: {error}")]) from error


def check_limits(message: Message) -> None:
    """Raises UnikatError (INVALID_ARGUMENT) naming what is beyond its limit. A batch of 10,000 plans takes it 60 ms."""
    if problems := limit_problems(message):
        raise invalid(problems)


async def check_generate(request: GenerateRequest, catalogue: Catalogue, settings: Settings) -> Order:
    """Check a request and resolve what it leaves open.

    Raises UnikatError: INVALID_ARGUMENT naming every wrong field, NOT_FOUND for a model that is not there,
    UNAVAILABLE without workers or Redis.
    """
    problems = list(_field_problems(request, settings.max_count))
    model = await find_model(catalogue, request.model, problems)
    try:
        weights = check_conditions(model, request.conditions, names=catalogue.category_names(model))
        deny = denied(model, settings.denied)
        problems += denied_problems(model, request.conditions, deny)
    except FieldError as problem:
        problems.append(problem)
    try:
        background = resolved_background(request, model)
    except FieldError as problem:
        problems.append(problem)
    content = fingerprint(request) if request.request_id else ""  # nobody else can join its job
    seed = request.seed if request.HasField("seed") else pick_seed(request.request_id, content)
    try:
        sequence = requested_sequence(request, model, "", seed)
    except FieldError as problem:
        problems.append(problem)
    if problems:
        raise invalid(problems)
    if sequence is not None and (more := _index_problems(request, sequence, weights, model)):
        raise invalid(more)
    return Order(
        request=request,
        fingerprint=content,
        model=model,
        weights=weights,
        seed=seed if sequence is None else 0,
        truncation=request.truncation if request.HasField("truncation") else model.default_truncation,
        image_format=request.format or ImageFormat.IMAGE_FORMAT_PNG,
        background=background,
        terms=Terms(
            settings.mode(request.originality), request.attempt, left_open(weights, deny), sequence is not None
        ),
        sequence=sequence,
    )


def _index_problems(
    request: GenerateRequest, sequence: MixSequence, weights: Weights, model: Model
) -> list[FieldError]:
    indexes = range(request.first_index, request.first_index + request.count)
    return list(sequence_problems(sequence, weights, model, indexes, ("first_index", "count", "recipe", "conditions")))


def requested_sequence(asked: GenerateRequest | Plan, model: Model, prefix: str, seed: int) -> MixSequence | None:
    """The recipe or the walk of a request, or of a plan whose fields begin with `prefix`; None where it has none.

    `seed` is that of a mutation without one. Raises FieldError.
    """
    if asked.HasField("recipe"):
        return check_recipe(asked.recipe, model, f"{prefix}recipe", seed)
    return check_walk(asked.walk, model, f"{prefix}walk") if asked.HasField("walk") else None


def resolved_background(request: GenerateRequest | CreateBatchRequest, model: Model) -> str:
    """What is behind the drawings, as "#rrggbbaa"; "" for a model without alpha. Raises FieldError."""
    if model.channels != RGBA:
        if request.background:
            raise FieldError("background", f"must be left out: {key_of(model)} draws what is behind, too")
        return ""
    try:
        background = canonical(request.background) if request.background else WHITE
    except ValueError as error:
        raise FieldError("background", str(error)) from error
    if not is_opaque(background) and (request.format or ImageFormat.IMAGE_FORMAT_PNG) not in WITH_ALPHA:
        name = ImageFormat.Name(request.format).removeprefix("IMAGE_FORMAT_")
        raise FieldError("background", f"{name} has no transparency: ask for PNG or WebP, or for an opaque colour")
    return background


async def find_model(catalogue: Catalogue, reference: str, problems: Sequence[FieldError]) -> Model:
    """The model of a request whose fields have `problems`.

    Raises UnikatError: INVALID_ARGUMENT naming them if there is no such model, otherwise NOT_FOUND or UNAVAILABLE.
    """
    if any(problem.field == "model" for problem in problems):
        raise invalid(problems)
    try:
        return await catalogue.find(reference, "model")
    except Exception as error:
        # What is wrong for good goes before what may pass.
        raise invalid(problems) if problems else error  # noqa: B904  # not caused by `error`


def reused() -> UnikatError:
    """ALREADY_EXISTS: a request_id stands for something else."""
    text = "stands for another request; use a new one, or send the same content"
    return error_of(bad_field("request_id", text, Code.ALREADY_EXISTS, Reason.REQUEST_ID_REUSED))


def pick_seed(request_id: str, content: str) -> int:
    """A seed for a request without one.

    With a request_id it follows from it: a call that is repeated after its results expired gets the same images.
    """
    if not request_id:
        return secrets.randbits(64)
    return int.from_bytes(hashlib.sha256(f"seed {request_id} {content}".encode()).digest()[:8], "big")


def common_problems(request: GenerateRequest | CreateBatchRequest) -> Iterator[FieldError]:
    """What is wrong, whatever the model is, with the fields that calls and batches share."""
    try:
        parse_reference(request.model)
    except ValueError as error:
        yield FieldError("model", str(error))
    truncation = request.truncation
    if request.HasField("truncation") and not (math.isfinite(truncation) and 0 <= truncation <= 2):
        yield FieldError("truncation", f"must be a finite number from 0 to 2, not {truncation}")
    if request.format not in _FORMATS:
        known = ", ".join(ImageFormat.keys())
        yield FieldError("format", f"must be one of {known}, not {request.format}")
    if request.originality not in _MODES:
        yield FieldError(
            "originality", f"must be one of {', '.join(OriginalityMode.keys())}, not {request.originality}"
        )
    if request.request_id and not REQUEST_ID.fullmatch(request.request_id):
        yield FieldError("request_id", "must be 1 to 128 characters of A-Z a-z 0-9 . _ -; a UUID is a good choice")


def parse_draw(data: bytes) -> GenerateRequest:
    """A request of Draw: one image. Raises UnikatError (INVALID_ARGUMENT)."""
    request = parse(GenerateRequest, data)
    problems = []
    if request.count > 1:
        problems.append(FieldError("count", f"must be 1, or left out, not {request.count}: Generate draws more"))
    if request.HasField("after_index"):
        problems.append(FieldError("after_index", "must be left out: there is one image, and nothing to go on after"))
    if problems:
        raise invalid(problems)
    request.count = 1
    return request


def _field_problems(request: GenerateRequest, max_count: int) -> Iterator[FieldError]:
    """What is wrong whatever the model is."""
    yield from common_problems(request)
    yield from _recipe_problems(request)
    if not 1 <= request.count <= max_count:
        more = "; more is a batch (CreateBatch)" if request.count else ""
        yield FieldError("count", f"must be 1 to {max_count}, not {request.count}{more}")
    if request.first_index + request.count > 2**32:
        largest = 2**32 - request.count
        yield FieldError("first_index", f"must be at most {largest} for this count, not {request.first_index}")
    if request.credentials not in _CREDENTIALS:
        yield FieldError("credentials", f"must be one of {', '.join(Credentials.keys())}, not {request.credentials}")
    if request.attempt > MAX_ATTEMPT:
        yield FieldError("attempt", f"must be 0 to {MAX_ATTEMPT}, as an artwork says it, not {request.attempt}")
    yield from _resume_problems(request)


def _recipe_problems(request: GenerateRequest) -> Iterator[FieldError]:
    """What is there twice: an image is of a seed, of a recipe or of a walk."""
    given = [name for name in ("recipe", "walk") if request.HasField(name)]
    if len(given) == 2:
        yield FieldError("walk", "must be left out where there is a recipe: a frame of a walk is a recipe")
    if given and request.HasField("seed"):
        yield FieldError("seed", f"must be left out where there is a {given[0]}, which says what is drawn")


def _resume_problems(request: GenerateRequest) -> Iterator[FieldError]:
    if not request.HasField("after_index"):
        return
    if not request.request_id:
        yield FieldError("after_index", "needs the request_id of the call that it resumes")
        return
    first, count = request.first_index, request.count
    if count and not first <= request.after_index < first + count:
        where = f"must be an index of this request ({first} to {first + count - 1})"
        yield FieldError("after_index", f"{where}, not {request.after_index}")
