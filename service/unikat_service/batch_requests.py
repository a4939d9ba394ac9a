"""CreateBatch requests, checked field by field before anything is enqueued.

A large request takes Python a while, so all of it is done in threads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import islice
from typing import Final

from unikat.batches.destination import is_open, normalise
from unikat.batches.spec import MAX_SHARD_SIZE, BatchSpec
from unikat.bundle import key_of
from unikat.conditions import FieldError, choices
from unikat.encoders import newest_encoder
from unikat.v1.batches_pb2 import CreateBatchRequest, Layout
from unikat.v1.model_pb2 import Model
from unikat.v1.studio_pb2 import ImageFormat
from unikat_service.batch_cells import MAX_PROBLEMS, check_cells, shape_problems
from unikat_service.callers import OWNER, OWNER_RULE
from unikat_service.errors import invalid
from unikat_service.requests import common_problems, pick_seed, resolved_background
from unikat_service.settings import MAX_SHARDS, Settings

DEFAULT_OWNER: Final = "default"
MAX_LABELS, MAX_LABEL_KEY, MAX_LABEL_VALUE = 64, 63, 255


def fingerprint(request: CreateBatchRequest) -> str:
    """SHA-256 of a request's content: the same for two calls that ask for the same."""
    content = CreateBatchRequest()
    content.CopyFrom(request)
    content.ClearField("request_id")
    # Maps have no order on the wire; "deterministic" sorts them.
    return hashlib.sha256(content.SerializeToString(deterministic=True)).hexdigest()


def field_problems(request: CreateBatchRequest, settings: Settings, caller: str | None) -> list[FieldError]:
    """What is wrong whatever the model is. `caller` is who the client's certificate names, if it has one."""
    return list(_field_problems(request, settings, caller))


def resolve(
    request: CreateBatchRequest,
    model: Model,
    settings: Settings,
    caller: str | None,
    problems: list[FieldError],
    *,
    legacy: bool = False,
) -> BatchSpec:
    """The batch, with all that was left open filled in; `problems` are those found before.

    `legacy`: a worker of the release before is alive, which knows the encoders without names only.

    Raises UnikatError (INVALID_ARGUMENT) naming every wrong field.
    """
    cells, more = check_cells(request, model, settings.max_batch_images)
    total = sum(cell.count for cell in cells)
    smallest = max(1, -(-total // MAX_SHARDS))
    if 0 < request.shard_size < smallest:
        text = f"must be at least {smallest} for {total} images: a batch has at most {MAX_SHARDS} shards"
        more.append(FieldError("shard_size", text))
    try:
        background = resolved_background(request, model)
    except FieldError as problem:
        more.append(problem)
    if problems or more:
        raise invalid([*problems, *more])
    return BatchSpec(
        model=key_of(model),
        digest=model.digest,
        cells=tuple(cells),
        seed=request.seed if request.HasField("seed") else pick_seed(request.request_id, fingerprint(request)),
        truncation=request.truncation if request.HasField("truncation") else model.default_truncation,
        image_format=int(request.format or ImageFormat.IMAGE_FORMAT_PNG),
        layout=int(request.layout or Layout.LAYOUT_FILES),
        destination=normalise(request.destination),
        shard_size=request.shard_size or max(settings.shard_size, smallest),
        owner=caller or request.owner or DEFAULT_OWNER,
        labels=dict(sorted(request.labels.items())),
        request_id=request.request_id,
        encoder="" if legacy else newest_encoder(request.format),
        background=background,
    )


def _field_problems(request: CreateBatchRequest, settings: Settings, caller: str | None) -> Iterator[FieldError]:
    yield from common_problems(request)
    yield from shape_problems(request, settings.max_batch_images)
    yield from _destination_problems(request.destination, settings.prefixes)
    if request.layout not in Layout.values():
        yield FieldError("layout", f"must be one of {', '.join(Layout.keys())}, not {request.layout}")
    if request.shard_size > MAX_SHARD_SIZE:
        default = f"0 means {settings.shard_size}"
        yield FieldError("shard_size", f"must be 0 to {MAX_SHARD_SIZE} ({default}), not {request.shard_size}")
    if request.owner and not OWNER.fullmatch(request.owner):
        yield FieldError("owner", f"must be {OWNER_RULE}; left out, it is {DEFAULT_OWNER}")
    elif request.owner and caller not in (None, request.owner):
        yield FieldError("owner", f'must be left out, or "{caller}" as in the client\'s certificate')
    yield from islice(_label_problems(request), MAX_PROBLEMS)


def _destination_problems(destination: str, prefixes: tuple[str, ...]) -> Iterator[FieldError]:
    try:
        url = normalise(destination)
    except ValueError as error:
        yield FieldError("destination", str(error))
        return
    if not prefixes:
        how = "it opens some with UNIKAT_DESTINATIONS, for example UNIKAT_DESTINATIONS=/srv/art,s3://assets"
        yield FieldError("destination", f"this service's operator has opened no destinations; {how}")
    elif not is_open(url, prefixes):
        yield FieldError("destination", f'"{url}" is not open; choose {choices(prefixes)} or a folder below')


def _label_problems(request: CreateBatchRequest) -> Iterator[FieldError]:
    if len(request.labels) > MAX_LABELS:
        yield FieldError("labels", f"must be at most {MAX_LABELS}, not {len(request.labels)}")
    for key in sorted(request.labels):
        if not 1 <= len(key) <= MAX_LABEL_KEY:
            yield FieldError(f"labels[{key}]", f"a key must have 1 to {MAX_LABEL_KEY} characters, not {len(key)}")
        value = request.labels[key]
        if len(value) > MAX_LABEL_VALUE:
            text = f"a value may have {MAX_LABEL_VALUE} characters, not {len(value)}"
            yield FieldError(f"labels[{key}]", text)
