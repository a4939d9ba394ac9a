"""Whether what clients got follows from what they were promised.

Beside a history stands an undisturbed drawing of the same recipes: what was accepted is delivered once, in order, with
the right bytes, and ends once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Final, TypeAlias

from tests.drills.history import Accepted, Asked, Ended, Event, Fault, How, Image, Seen


class Broken(StrEnum):
    """A promise that a history breaks."""

    LOST = "lost"
    DOUBLED = "doubled"
    REORDERED = "out of order"
    BYTES = "wrong bytes"
    CROSSED = "images of another recipe"
    UNASKED = "images that nobody asked for"
    UNACCEPTED = "images before the acknowledgement"
    LATE = "something after the end"
    ENDLESS = "no end"
    ENDS = "two ends"
    REVISION = "a revision that does not grow"
    ACCEPTED = "another job for the same request_id"
    CUT = "cut off although nothing was broken"


@dataclass(frozen=True)
class Violation:
    """A promise that was broken to a call, and how."""

    broken: Broken
    call: str
    text: str


# (model, recipe) -> index -> the image as it is drawn when nothing is wrong
Drawings: TypeAlias = Mapping[tuple[str, str], Mapping[int, Image]]

_SLACK_S: Final = 15.0  # seconds after a fault in which a connection may still end because of it


def violations(events: Sequence[Event], drawings: Drawings) -> list[Violation]:
    """Every promise that the history breaks, given how the images are drawn when nothing is wrong."""
    faults = [(event.what, event.at) for event in events if isinstance(event.what, Fault)]
    calls: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        if not isinstance(event.what, Fault):
            calls[event.call].append(event)
    owners = {image.digest: key for key, images in drawings.items() for image in images.values()}
    found: list[Violation] = []
    for name, of_call in calls.items():
        call = _Call(name, of_call, faults)
        for check in _CHECKS:
            found += [Violation(broken, name, text) for broken, text in check(call)]
        found += [Violation(broken, name, text) for broken, text in _check_bytes(call, drawings, owners)]
    forgotten = [(fault.since, at) for fault, at in faults if fault.forgets]
    return found + list(_check_request_ids(calls, forgotten))


class _Call:
    """The events of one call, sorted."""

    def __init__(self, name: str, events: list[Event], faults: Iterable[tuple[Fault, float]]) -> None:
        self.name, self.events = name, events
        self.asked = next((event.what for event in events if isinstance(event.what, Asked)), None)
        self.accepted = next((event.what for event in events if isinstance(event.what, Accepted)), None)
        self.images = [event.what for event in events if isinstance(event.what, Image)]
        self.end = next((event.what for event in events if isinstance(event.what, Ended)), None)
        begun, over = events[0].at, events[-1].at
        self.was_disturbed = any(fault.since <= over and at + _SLACK_S >= begun for fault, at in faults)
        self._forgotten = [(fault.since, at) for fault, at in faults if fault.forgets]
        self._accepted_at = next((event.at for event in events if isinstance(event.what, Accepted)), over)

    @property
    def was_forgotten(self) -> bool:
        """Whether Redis went back behind its acknowledgement: what it then knows of it is nothing."""
        return any(since <= self._accepted_at <= at for since, at in self._forgotten)

    def spans_a_return(self, first: Event, second: Event) -> bool:
        """Whether Redis went back in time between two events."""
        return any(since <= second.at and at >= first.at for since, at in self._forgotten)


_Found: TypeAlias = Iterator[tuple[Broken, str]]


def _check_frame(call: _Call) -> _Found:
    """Asked, accepted, images, one end: in this order, each there."""
    ends = [n for n, event in enumerate(call.events) if isinstance(event.what, Ended)]
    if call.asked is None:
        yield Broken.UNASKED, f"{len(call.images)} images"
    if not ends:
        yield Broken.ENDLESS, f"{len(call.images)} images, and then nothing"
    if len(ends) > 1:
        yield Broken.ENDS, str([call.events[n].what for n in ends])
    for event in call.events[ends[0] + 1 if ends else len(call.events) :]:
        if not isinstance(event.what, Ended):
            yield Broken.LATE, str(event.what)
    kinds = [type(event.what) for event in call.events]
    if Image in kinds and Accepted not in kinds[: kinds.index(Image)]:
        yield Broken.UNACCEPTED, str(call.images[0])


def _check_end(call: _Call) -> _Found:
    """Who was promised images and did not call off got them, or could not come back for them."""
    if call.asked is None or call.end is None:
        return
    due, got = call.asked.count, len({image.index for image in call.images})
    how, why = call.end.how, call.end.why
    if how is How.FINISHED and got < due:
        yield Broken.LOST, f"finished with {got} of {due} images"
    if how is How.FAILED and not call.was_forgotten:
        yield Broken.LOST, f"accepted, and failed after {got} of {due} images: {why}"
    if how is How.REFUSED and call.accepted is not None:
        yield Broken.LOST, f"refused although it had been accepted: {why}"
    if how is How.CUT and call.asked.request_id:
        yield Broken.LOST, f"cut off after {got} of {due} images, and not resumed: {why}"
    if how is How.CUT and not call.was_disturbed:
        yield Broken.CUT, why


def _check_order(call: _Call) -> _Found:
    """Indexes one by one from the first on; files of a batch that was called off may have gaps."""
    if call.asked is None:
        return
    first, count = call.asked.first, call.asked.count
    may_skip = call.asked.is_batch and call.end is not None and call.end.how is not How.FINISHED
    seen: set[int] = set()
    due = first
    for image in call.images:
        if image.index in seen:
            yield Broken.DOUBLED, f"image {image.index}"
        elif not first <= image.index < first + count:
            yield Broken.CROSSED, f"image {image.index} of {first} to {first + count - 1}"
        elif image.index < due:
            yield Broken.REORDERED, f"image {image.index} where {due} was due"
        elif image.index > due and not may_skip:
            yield Broken.LOST, f"image {image.index} where {due} was due"
        seen.add(image.index)
        due = max(due, image.index + 1)


def _check_revisions(call: _Call) -> _Found:
    """Of a watched batch: each larger than the last, unless Redis went back meanwhile."""
    seen = [(event, event.what.revision) for event in call.events if isinstance(event.what, Seen)]
    for (before, old), (after, new) in pairwise(seen):
        if new <= old and not call.spans_a_return(before, after):
            yield Broken.REVISION, f"{old}, then {new}"


_CHECKS: Final[tuple[Callable[[_Call], _Found], ...]] = (_check_frame, _check_end, _check_order, _check_revisions)


def _check_bytes(call: _Call, drawings: Drawings, owners: Mapping[str, tuple[str, str]]) -> _Found:
    """Every image is, to the byte, the one that the recipe gives at its index."""
    if call.asked is None or call.accepted is None:
        return
    mine = call.accepted.model, call.asked.recipe
    right = drawings.get(mine, {})
    for image in call.images:
        if image == right.get(image.index):
            continue
        owner = owners.get(image.digest, mine)
        if owner != mine:
            yield Broken.CROSSED, f"image {image.index} of {mine} is one of {owner}"
        else:
            yield Broken.BYTES, f"image {image.index} of {mine}: {image}, not {right.get(image.index)}"


def _check_request_ids(
    calls: Mapping[str, Sequence[Event]], forgotten: Sequence[tuple[float, float]]
) -> Iterator[Violation]:
    """Calls with one request_id are drawn by one model with one seed; a batch with one is one batch.

    Unless Redis forgot the first: a name without a version may mean another one by the time of the second.
    """
    first: dict[str, tuple[float, Accepted]] = {}
    for name, events in calls.items():
        asked = next((event.what for event in events if isinstance(event.what, Asked)), None)
        if asked is None or not asked.request_id:
            continue
        for at, found in ((event.at, event.what) for event in events if isinstance(event.what, Accepted)):
            since, known = first.setdefault(asked.request_id, (at, found))
            if _content(known, asked) != _content(found, asked) and not any(
                begun <= max(since, at) and over >= min(since, at) for begun, over in forgotten
            ):
                yield Violation(Broken.ACCEPTED, name, f"{found} for {asked.request_id}, before: {known}")


def _content(accepted: Accepted, asked: Asked) -> tuple[str | int, ...]:
    return (accepted.model, accepted.seed, accepted.job if asked.is_batch else "")
