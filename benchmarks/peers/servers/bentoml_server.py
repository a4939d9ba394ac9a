"""BentoML: a process a lane, each with an HTTP server of its own; JSON in, PNG out."""

from __future__ import annotations

from typing import Annotated

import bentoml
from bentoml.validators import ContentType

from benchmarks.work import REQUEST, Job, answer

JOB = Job.from_environment()


@bentoml.service(
    workers=JOB.setup.lanes,
    traffic={"timeout": 60, "max_concurrency": 1000},
    logging={"access": {"enabled": False}},
    metrics={"enabled": False},
)
class Draw:
    """One lane."""

    def __init__(self) -> None:
        self.drawers = JOB.drawers()

    @bentoml.api  # type: ignore[untyped-decorator]  # BentoML has no stubs here
    def draw(self, model: int, seed: int) -> Annotated[bytes, ContentType("image/png")]:
        """One request to one PNG."""
        return answer(self.drawers, REQUEST.pack(model, seed))
