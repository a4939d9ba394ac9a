"""Pages of batches: newest first, of some states and of one owner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from unikat.batches.record import BatchRecord
from unikat.conditions import FieldError
from unikat.queue.batches.store import BatchStore
from unikat.v1.batches_pb2 import Batch, ListBatchesRequest, ListBatchesResponse
from unikat_service.callers import OWNER, OWNER_RULE
from unikat_service.errors import invalid
from unikat_service.paging import check_page, decode, encode

# (Unix time of creation, id), descending.
Position = tuple[float, str]

KIND: Final = "batches"
CHUNK: Final = 250  # batches read in one round trip
# Batches looked at for one page: a filter that matches little costs several short calls and not a long one (AIP-158).
MAX_SCANNED: Final = 5000


@dataclass(frozen=True)
class Page:
    """What to list. `owner` is empty for all, `visible_to` None for a caller that sees all."""

    size: int
    after: Position | None
    states: frozenset[int]
    owner: str
    visible_to: str | None

    def token(self, position: Position) -> str:
        """The token of the next page, which begins behind `position`: of this list, so that it says of which."""
        return encode(KIND, *position, sorted(self.states), self.owner)

    def shows(self, record: BatchRecord) -> bool:
        """Whether a batch is listed."""
        owner = record.head["owner"]
        is_visible = self.visible_to in (None, owner)
        return is_visible and self.owner in ("", owner) and (not self.states or record.state in self.states)


def check_list(request: ListBatchesRequest, caller: str | None) -> Page:
    """What a request asks for. Raises UnikatError (INVALID_ARGUMENT)."""
    known = [state for state in Batch.State.values() if state != Batch.STATE_UNSPECIFIED]
    names = ", ".join(Batch.State.Name(state) for state in known)
    problems = [
        FieldError(f"states[{i}]", f"must be one of {names}, not {state}")
        for i, state in enumerate(request.states)
        if state not in known
    ]
    if request.owner and not OWNER.fullmatch(request.owner):
        problems.append(FieldError("owner", f"must be {OWNER_RULE}, or empty for all"))
    if problems:
        raise invalid(problems)
    states = frozenset(request.states)
    size, after = check_page(
        request.page_size, request.page_token, lambda token: _position(token, states, request.owner)
    )
    return Page(size, after, states, request.owner, caller)


def batch_page(store: BatchStore, page: Page) -> ListBatchesResponse:
    """The page. A token says behind which batch the next one begins, so deletions in between change nothing."""
    places = store.newest(MAX_SCANNED, page.after)
    response = ListBatchesResponse()
    last = page.after
    for start in range(0, len(places), CHUNK):
        chunk = places[start : start + CHUNK]
        position = {batch: (created, batch) for created, batch in chunk}
        for record in filter(page.shows, store.read_many(list(position))):
            if len(response.batches) == page.size:
                assert last is not None  # a full page has a last batch
                response.next_page_token = page.token(last)
                return response
            response.batches.append(record.to_message())
            last = position[record.id]
    if len(places) == MAX_SCANNED:
        response.next_page_token = page.token(places[-1])
    return response


def _position(token: str, states: frozenset[int], owner: str) -> Position:
    created, batch, of_states, of_owner = decode(KIND, token)
    if not (isinstance(created, float) and isinstance(batch, str)):
        raise ValueError(token)
    if [of_states, of_owner] != [sorted(states), owner]:
        text = "is of a list with other states or another owner; send those of its request again, or no token"
        raise FieldError("page_token", text)
    return created, batch
