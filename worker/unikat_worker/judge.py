"""What happens to drawings before they are marked and encoded: some are drawn again, some are not delivered."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from unikat.background import NONE, WHITE
from unikat.bundle import key_of
from unikat.conditions import CompleteConditions, denied_in
from unikat.refusal import ENFORCE, reason_name
from unikat.sampling import MAX_ATTEMPT
from unikat.v1.model_pb2 import Model
from unikat.v1.studio_pb2 import REFUSAL_CONTENT, REFUSAL_NEAR_COPY, REFUSAL_UNSPECIFIED, Refusal
from unikat_worker.buckets import Pixels
from unikat_worker.content_gate import ContentGate
from unikat_worker.rows import Row
from unikat_worker.session import Session

_AS_TRAINED: Final = ("", NONE, WHITE)  # backgrounds; pixels without one are seen on white

Redraw = Callable[[Sequence[Row]], Pixels]

log = logging.getLogger(__name__)


@dataclass
class Verdict:
    """What is known of a drawing. `reason` other than REFUSAL_UNSPECIFIED: it is not delivered, and `detail` says why.

    `distance` and `percentile` are as in `Originality`, None where they were not measured.
    """

    reason: Refusal = REFUSAL_UNSPECIFIED
    detail: str = ""
    distance: float | None = None
    percentile: float | None = None

    @property
    def is_refused(self) -> bool:
        return bool(self.reason != REFUSAL_UNSPECIFIED)

    def refuse(self, reason: Refusal, detail: str) -> None:
        self.reason, self.detail = reason, detail


@dataclass
class Drawings:
    """Drawings of one batch and what becomes of them; `rows` and `pixels` change where one is drawn again."""

    rows: list[Row]
    complete: Sequence[CompleteConditions]
    pixels: Pixels
    verdicts: list[Verdict] = field(init=False)

    def __post_init__(self) -> None:
        self.verdicts = [Verdict() for _ in self.rows]

    def next_attempt(self, places: Sequence[int], redraw: Redraw) -> None:
        """Draw some again."""
        for place in places:
            self.rows[place] = replace(self.rows[place], attempt=self.rows[place].attempt + 1)
        pixels = self.pixels.copy()  # the runtime's own
        pixels[places] = redraw([self.rows[place] for place in places])
        self.pixels = pixels

    def on_white(self, places: Sequence[int], redraw: Redraw) -> Pixels:
        """Some of the drawings as training pictures are seen: what has a coloured background is drawn once more."""
        pixels = self.pixels[places]
        coloured = [at for at, place in enumerate(places) if self.rows[place].background not in _AS_TRAINED]
        if coloured:
            pixels[coloured] = redraw([replace(self.rows[places[at]], background=WHITE) for at in coloured])
        return pixels

    def places(self, wanted: Callable[[Row], bool]) -> list[int]:
        """Where rows are that are wanted and not refused yet."""
        rows = zip(self.rows, self.verdicts, strict=True)
        return [place for place, (row, verdict) in enumerate(rows) if not verdict.is_refused and wanted(row)]


def _is_enforced(row: Row) -> bool:
    return row.terms is not None and row.terms.originality == ENFORCE


def _how_near(verdict: Verdict) -> str:
    return (
        f"all attempts are too near to a training picture; the last has distance {verdict.distance:.3f}, and "
        f"{verdict.percentile:.2%} of held-out real pictures of these conditions are nearer to one"
    )


class NoIndex(RuntimeError):
    """A job wants its drawings compared with training pictures, and the bundle says nothing of them."""


class Judge:
    """One of a worker. May be used by several threads."""

    def __init__(self, gate: ContentGate | None) -> None:
        """Without a gate, drawings are delivered whatever they show."""
        self._gate = gate
        self._lock = threading.Lock()
        self._refused: Counter[str] = Counter()

    def looks_at(self, model: Model, rows: Sequence[Row]) -> bool:
        """Whether anything can happen to drawings of these rows."""
        return (self._gate is not None and self._limit(model) is not None) or any(row.terms for row in rows)

    @property
    def refused(self) -> dict[str, int]:
        """How many images were refused, by the reason."""
        with self._lock:
            return dict(self._refused)

    def seconds(self, model: Model) -> float:
        """What the gate takes for an image of a model, about."""
        return 0.0 if self._gate is None or self._limit(model) is None else self._gate.seconds

    def judge(self, session: Session, drawings: Drawings, redraw: Redraw) -> None:
        """Decide on each; near copies are drawn again by `redraw`, which gives the pixels of other rows."""
        self._deny(drawings)
        self._compare(session, drawings, redraw)
        self._gate_content(session.model, drawings)
        refused = Counter(reason_name(each.reason) for each in drawings.verdicts if each.is_refused)
        if refused:
            with self._lock:
                self._refused += refused
            counts = ", ".join(f"{count} {reason}" for reason, count in sorted(refused.items()))
            log.info("%s: refused of %d drawings: %s", key_of(session.model), len(drawings.rows), counts)

    def _limit(self, model: Model) -> float | None:
        return None if self._gate is None else self._gate.limits.limit(model.name)

    def _deny(self, drawings: Drawings) -> None:
        for place in drawings.places(lambda row: row.terms is not None and bool(row.terms.deny)):
            terms = drawings.rows[place].terms
            assert terms is not None
            found = denied_in(drawings.complete[place].weights, terms.deny)
            if found is not None:
                detail = f"{found[0]}={found[1]} was drawn, which this service does not deliver"
                drawings.verdicts[place].refuse(REFUSAL_CONTENT, detail)

    def _compare(self, session: Session, drawings: Drawings, redraw: Redraw) -> None:
        places = drawings.places(lambda row: row.terms is not None and bool(row.terms.originality))
        neighbours = session.neighbours if places else None
        if places and neighbours is None and any(_is_enforced(drawings.rows[place]) for place in places):
            raise NoIndex(f"{key_of(session.model)} has no index of its training pictures: nothing can be compared")
        while places and neighbours is not None:
            seen = drawings.on_white(places, redraw)
            found = neighbours.measure(seen, [drawings.complete[place] for place in places])
            near = []
            for at, place in enumerate(places):
                verdict, row = drawings.verdicts[place], drawings.rows[place]
                verdict.distance, verdict.percentile = float(found.distance[at]), float(found.percentile[at])
                if found.near[at] and _is_enforced(row):
                    near.append(place)
                    if row.attempt == MAX_ATTEMPT:
                        verdict.refuse(REFUSAL_NEAR_COPY, _how_near(verdict))
            places = [place for place in near if not drawings.verdicts[place].is_refused]
            if places:
                drawings.next_attempt(places, redraw)

    def _gate_content(self, model: Model, drawings: Drawings) -> None:
        limit = self._limit(model)
        if self._gate is None or limit is None:
            return
        places = drawings.places(lambda _: True)
        for place, score in zip(places, self._gate.scores(drawings.pixels[places]).tolist(), strict=True):
            if score >= limit:
                drawings.verdicts[place].refuse(
                    REFUSAL_CONTENT, f"the content gate says {score:.3f}, refused from {limit:g}"
                )
