"""Pages of a sorted list (AIP-158): a token says behind which entry the next page begins, so it survives changes.

Models come by name, newest version first; batches newest first, of some states and of one owner.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from unikat.batches.record import BatchRecord
from unikat.bundle import key_of
from unikat.conditions import FieldError
from unikat.credentials import NAME, NAME_RULE
from unikat.paging import check_page, decode, encode
from unikat.queue.batches.store import BatchStore
from unikat.statuses import invalid
from unikat.v1.batches_pb2 import Batch, ListBatchesRequest, ListBatchesResponse
from unikat.v1.model_pb2 import Model

CHUNK: Final = 250  # batches read in one round trip
# Batches looked at for one page: a filter that matches little costs several short calls and not a long one (AIP-158).
MAX_SCANNED: Final = 5000

# Names ascend, the versions of a name descend.
Position = tuple[str, int]
# (Unix time of creation, id), descending.
BatchPosition = tuple[float, str]


def position_of(model: Model) -> Position:
    """Sort key: by name, newest version first."""
    return model.name, -model.version


def model_position(token: str) -> Position:
    """Where a token of `page_of` points. Raises what `check_page` knows."""
    (key,) = decode("models", token)
    name, version = key.split("@")
    return name, -int(version)


def page_of(models: Sequence[Model], size: int, after: Position | None) -> tuple[Sequence[Model], str]:
    """The page of `models`, which are sorted by `position_of`, behind `after`; and the token of the next page."""
    rest = [model for model in models if after is None or position_of(model) > after]
    page = rest[:size]
    return page, encode("models", key_of(page[-1])) if len(rest) > size else ""


def batch_page(store: BatchStore, request: ListBatchesRequest, caller: str | None) -> ListBatchesResponse:
    """The page that `caller` asks for; None is one that sees all. Raises UnikatError (INVALID_ARGUMENT)."""
    _check_filters(request)
    filters = (sorted(set(request.states)), request.owner)  # in the token, so that it says of which list it is
    size, after = check_page(request.page_size, request.page_token, lambda token: _batch_position(token, *filters))
    places = store.newest(MAX_SCANNED, after)
    response, last = ListBatchesResponse(), after
    for start in range(0, len(places), CHUNK):
        chunk = {batch: (created, batch) for created, batch in places[start : start + CHUNK]}
        for record in (each for each in store.read_many(list(chunk)) if _is_listed(each, request, caller)):
            if len(response.batches) == size:
                assert last is not None  # a full page has a last batch
                response.next_page_token = encode("batches", *last, *filters)
                return response
            response.batches.append(record.to_message())
            last = chunk[record.id]
    if len(places) == MAX_SCANNED:
        response.next_page_token = encode("batches", *places[-1], *filters)
    return response


def _check_filters(request: ListBatchesRequest) -> None:
    known = [state for state in Batch.State.values() if state != Batch.STATE_UNSPECIFIED]
    names = ", ".join(Batch.State.Name(state) for state in known)
    problems = [
        FieldError(f"states[{i}]", f"must be one of {names}, not {state}")
        for i, state in enumerate(request.states)
        if state not in known
    ]
    if request.owner and not NAME.fullmatch(request.owner):
        problems.append(FieldError("owner", f"must be {NAME_RULE}, or empty for all"))
    if problems:
        raise invalid(problems)


def _is_listed(record: BatchRecord, request: ListBatchesRequest, caller: str | None) -> bool:
    owner = record.head["owner"]
    is_asked_for = request.owner in ("", owner) and (not request.states or record.state in request.states)
    return is_asked_for and caller in (None, owner)


def _batch_position(token: str, states: Sequence[int], owner: str) -> BatchPosition:
    created, batch, of_states, of_owner = decode("batches", token)
    if not (isinstance(created, float) and isinstance(batch, str)):
        raise ValueError(token)
    if [of_states, of_owner] != [states, owner]:
        text = "is of a list with other states or another owner; send those of its request again, or no token"
        raise FieldError("page_token", text)
    return created, batch
