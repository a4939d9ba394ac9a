"""CreateBatch requests, checked field by field before anything is enqueued.

What a batch is to draw, plans or a grid, is never expanded before its size is known. A large request takes Python a
while, so all of it is done in threads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from math import prod
from typing import Final

from unikat.batches.destination import is_open, normalise
from unikat.batches.spec import MAX_SHARD_SIZE, BatchSpec, Cell, grid_cells
from unikat.bundle import key_of
from unikat.conditions import Denied, FieldError, Weights, check_conditions, choices, choose_from
from unikat.credentials import NAME, NAME_RULE
from unikat.encoders import newest_encoder
from unikat.key_file import ID_RULE, is_key_id
from unikat.queue.job import fingerprint
from unikat.statuses import invalid
from unikat.v1.batches_pb2 import CreateBatchRequest, Grid, Layout, Plan
from unikat.v1.model_pb2 import Model
from unikat.v1.studio_pb2 import CREDENTIALS_NONE, CREDENTIALS_SIDECAR, CREDENTIALS_UNSPECIFIED, ImageFormat
from unikat_service.callers import Caller
from unikat_service.limits import MAX_PLANS_BYTES, MAX_PROBLEMS
from unikat_service.recipes import sequence_problems
from unikat_service.requests import common_problems, pick_seed, requested_sequence, resolved_background
from unikat_service.settings import MAX_SHARDS, Settings
from unikat_service.terms import denied, denied_problems

MAX_CELLS: Final = 10_000
_CREDENTIALS: Final = (CREDENTIALS_UNSPECIFIED, CREDENTIALS_NONE, CREDENTIALS_SIDECAR)

Categories = Mapping[str, Sequence[str]]


def resolve(
    request: CreateBatchRequest,
    model: Model,
    settings: Settings,
    caller: Caller,
    problems: list[FieldError],
) -> BatchSpec:
    """The batch, with all that was left open filled in; `problems` are those found before.

    Raises UnikatError (INVALID_ARGUMENT) naming every wrong field.
    """
    seed = request.seed if request.HasField("seed") else pick_seed(request.request_id, fingerprint(request))
    cells, more = check_cells(request, model, settings.max_batch_images, seed)
    deny = denied(model, settings.denied)
    more += list(_denied_cells(request, cells, model, deny))
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
        seed=seed,
        truncation=request.truncation if request.HasField("truncation") else model.default_truncation,
        image_format=int(request.format or ImageFormat.IMAGE_FORMAT_PNG),
        layout=int(request.layout or Layout.LAYOUT_FILES),
        destination=normalise(request.destination),
        shard_size=request.shard_size or max(settings.shard_size, smallest),
        owner=caller.confined_to or request.owner or caller.name,
        labels=dict(sorted(request.labels.items())),
        request_id=request.request_id,
        encoder=newest_encoder(request.format),
        background=background,
        mark=settings.mark_key,
        encryption_key=request.encryption_key,
        originality=settings.mode(request.originality),
        deny=deny,
        recipes=any(cell.sequence for cell in cells),
        credentials=request.credentials == CREDENTIALS_SIDECAR,
    )


def _denied_cells(
    request: CreateBatchRequest, cells: Sequence[Cell], model: Model, deny: Denied
) -> Iterator[FieldError]:
    """What a batch asks for that is denied; of a grid, the axes and what all have in common."""
    if not deny or not cells:
        return
    for i, plan in enumerate(request.plans):
        yield from denied_problems(model, plan.conditions, deny, f"plans[{i}].conditions")
    yield from denied_problems(model, request.grid.conditions, deny, "grid.conditions")
    for i, axis in enumerate(request.grid.axes):
        for category in deny.get(axis.attribute, ()):
            if category in axis.categories or not axis.categories:
                text = f'"{category}" is not delivered by this service: name the categories without it'
                yield FieldError(f"grid.axes[{i}].categories", text)


def field_problems(request: CreateBatchRequest, settings: Settings, caller: Caller) -> Iterator[FieldError]:
    """What is wrong whatever the model is."""
    yield from common_problems(request)
    yield from shape_problems(request, settings.max_batch_images)
    yield from _destination_problems(request.destination, settings.prefixes)
    if request.layout not in Layout.values():
        yield FieldError("layout", f"must be one of {', '.join(Layout.keys())}, not {request.layout}")
    if request.shard_size > MAX_SHARD_SIZE:
        default = f"0 means {settings.shard_size}"
        yield FieldError("shard_size", f"must be 0 to {MAX_SHARD_SIZE} ({default}), not {request.shard_size}")
    if request.owner and not NAME.fullmatch(request.owner):
        yield FieldError("owner", f"must be {NAME_RULE}; left out, it is {caller.name}")
    elif request.owner and caller.confined_to not in (None, request.owner):
        yield FieldError("owner", f'must be left out, or "{caller.name}", as whom you call')
    if request.encryption_key and not is_key_id(request.encryption_key):
        yield FieldError("encryption_key", f"{ID_RULE}; left out, files are not encrypted")
    if request.credentials not in _CREDENTIALS:
        yield FieldError("credentials", "must be CREDENTIALS_SIDECAR or CREDENTIALS_NONE: files are the same each time")
    if "" in request.labels:
        yield FieldError("labels[]", "a key must have 1 to 63 characters, not 0")


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


def shape_problems(request: CreateBatchRequest, max_images: int) -> Iterator[FieldError]:
    """What is wrong with plans and grid whatever the model is."""
    if request.plans and request.HasField("grid"):
        yield FieldError("grid", "must be left out where there are plans: a batch is either plans or a grid")
    elif request.HasField("grid"):
        if not request.grid.axes:
            yield FieldError("grid.axes", "needs at least one attribute; without any, use plans")
        if not request.grid.count:
            yield FieldError("grid.count", "must be at least 1: images for each combination")
    elif request.plans:
        yield from _plan_problems(request.plans, max_images)
    else:
        yield FieldError("plans", "needs at least one plan, or a grid instead")


def check_cells(
    request: CreateBatchRequest, model: Model, max_images: int, seed: int
) -> tuple[Sequence[Cell], list[FieldError]]:
    """The cells that a request asks for, and what the model does not know of it; cells only if nothing is wrong.

    `seed` is that of mutations without one.
    """
    if request.plans and request.HasField("grid"):
        return (), []
    return _grid(request.grid, model, max_images) if request.HasField("grid") else _plans(request.plans, model, seed)


def _plan_problems(plans: Sequence[Plan], max_images: int) -> Iterator[FieldError]:
    empty = (i for i, plan in enumerate(plans) if not plan.count)
    for i in islice(empty, MAX_PROBLEMS):
        yield FieldError(f"plans[{i}].count", "must be at least 1")
    twice = (i for i, plan in enumerate(plans) if plan.HasField("recipe") and plan.HasField("walk"))
    for i in islice(twice, MAX_PROBLEMS):
        yield FieldError(f"plans[{i}].walk", "must be left out where there is a recipe")
    total = sum(plan.count for plan in plans)
    if total > max_images:
        field = "plans[0].count" if len(plans) == 1 else "plans"
        yield FieldError(field, _too_many_images(total, max_images))


def _too_many_images(total: int, max_images: int) -> str:
    return f"{total} images in all, but a batch may have {max_images}: split it into several batches"


def _plans(plans: Sequence[Plan], model: Model, seed: int) -> tuple[Sequence[Cell], list[FieldError]]:
    cells: list[Cell] = []
    problems: list[FieldError] = []
    for i, plan in enumerate(plans):
        try:
            weights = check_conditions(model, plan.conditions, f"plans[{i}].conditions")
            sequence = requested_sequence(plan, model, f"plans[{i}].", seed)
        except FieldError as problem:
            problems.append(problem)
        else:
            cells.append(Cell(weights, plan.count, sequence))
            if sequence is not None:
                fields = (f"plans[{i}].count", f"plans[{i}].count", f"plans[{i}].recipe", f"plans[{i}].conditions")
                problems += sequence_problems(sequence, weights, model, range(plan.count), fields)
        if len(problems) >= MAX_PROBLEMS:
            break
    return cells, problems


def _grid(grid: Grid, model: Model, max_images: int) -> tuple[Sequence[Cell], list[FieldError]]:
    schema = {attribute.name: [c.name for c in attribute.categories] for attribute in model.attributes}
    problems = list(islice(_axis_problems(grid, schema), MAX_PROBLEMS))
    common: Weights = {}
    try:
        common = check_conditions(model, grid.conditions, "grid.conditions")
    except FieldError as problem:
        problems.append(problem)
    axes = {axis.attribute: axis.categories or schema.get(axis.attribute, ()) for axis in grid.axes}
    twice = (i for i, condition in enumerate(grid.conditions) if condition.attribute in axes)
    problems += [
        FieldError(f"grid.conditions[{i}].attribute", f'"{grid.conditions[i].attribute}" is an axis of the grid')
        for i in islice(twice, MAX_PROBLEMS)
    ]
    problems = problems or list(_size_problems(grid, axes, max_images))
    return ((), problems) if problems else (grid_cells(axes, common, grid.count), [])


def _axis_problems(grid: Grid, schema: Categories) -> Iterator[FieldError]:
    seen: set[str] = set()
    for i, axis in enumerate(grid.axes):
        name, path = axis.attribute, f"grid.axes[{i}]"
        if name not in schema:
            allowed = choose_from(schema, name) if schema else "this model has none"
            yield FieldError(f"{path}.attribute", f'unknown attribute "{name}"; {allowed}')
            continue
        if name in seen:
            yield FieldError(f"{path}.attribute", f'"{name}" is an axis already; name all its categories in one')
        seen.add(name)
        yield from _category_problems(axis.categories, schema[name], path)


def _category_problems(asked: Sequence[str], known: Sequence[str], path: str) -> Iterator[FieldError]:
    seen: set[str] = set()
    there_are = frozenset(known)
    for j, category in enumerate(asked):
        if category not in there_are:
            yield FieldError(
                f"{path}.categories[{j}]", f'unknown category "{category}"; {choose_from(known, category)}'
            )
        elif category in seen:
            yield FieldError(f"{path}.categories[{j}]", f'"{category}" is named twice')
        seen.add(category)


def _size_problems(grid: Grid, axes: Categories, max_images: int) -> Iterator[FieldError]:
    """Sizes are multiplied, not built: a grid of 10^9 combinations is refused like any other."""
    cells = prod(len(categories) for categories in axes.values())
    if not 1 <= cells <= MAX_CELLS:
        text = f"{cells} combinations, but a batch has 1 to {MAX_CELLS}: name fewer categories, or split it"
        yield FieldError("grid.axes", text)
        return
    if cells * grid.count > max_images:
        each = f"{cells} combinations of {grid.count} images are "
        yield FieldError("grid.count", each + _too_many_images(cells * grid.count, max_images))
    size = sum(condition.ByteSize() + 2 for condition in grid.conditions)
    size += sum(len(name.encode()) + max(len(c.encode()) for c in axes[name]) + 8 for name in axes)
    if cells * size > MAX_PLANS_BYTES:
        text = f"the conditions of {cells} combinations are too large for one message: split it into several batches"
        yield FieldError("grid.axes", text)
