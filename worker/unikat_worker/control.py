"""What operators said (`unikat.queue.control`), as this worker heeds it: what it offers, loads, frees, and its end."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection
from typing import Final

from unikat.bundle import BundleError
from unikat.queue.clients import REPLY_S
from unikat.queue.control import Control
from unikat.v1.model_pb2 import Model
from unikat_worker.catalogue import Catalogue, UnknownModel
from unikat_worker.scheduler import Scheduler
from unikat_worker.state import State

# Seconds (Redis') from an unloading until a worker stops offering the model, if no work for it is left: services hear
# of it within one, and what they let in before then is drawn. A job that comes later yet (of a service that was cut
# off, of a worker that was lost) has the model served again until it is drawn.
GRACE_S: Final = 5.0

log = logging.getLogger(__name__)


class OperatorControl:
    """Heeds what operators said. `heed` comes with every beat, `preload` from a thread that may take its time."""

    def __init__(self, name: str, catalogue: Catalogue, scheduler: Scheduler, state: State) -> None:
        self._name = name
        self._catalogue = catalogue
        self._scheduler = scheduler
        self._state = state
        self._lock = threading.Lock()
        self._control = Control()
        self._withdrawn: set[str] = set()  # "name@version" of what is not offered
        self._preloaded: dict[str, float] = {}  # the same -> time of the change that was heeded
        self._began: float | None = None  # Redis' time
        self._draining_since: float | None = None  # on the monotonic clock

    @property
    def offered(self) -> dict[str, Model]:
        """What this worker serves: "name@version" to its model."""
        models = self._catalogue.models
        with self._lock:
            return {key: model for key, model in models.items() if key not in self._withdrawn}

    def begin(self) -> None:
        """The worker is known from now on; to drain one of its name was said of another before."""
        self._began = self._state.clock.now()

    def heed(self, control: Control, wanted: Collection[str]) -> None:
        """`wanted`: each "name@version" of what is unloaded that calls wait for, or batches."""
        busy = {job.digest for job in (*self._scheduler.jobs, *self._scheduler.shards)}
        now = self._state.clock.now()
        models = self._catalogue.models
        with self._lock:
            self._control = control
            before = self._withdrawn
            self._withdrawn = {
                key
                for key in control.unloaded.keys() & models.keys()
                if key not in wanted
                and models[key].digest not in busy
                and (key in before or now - control.unloaded[key].at > GRACE_S)
            }
            withdrawn = set(self._withdrawn)
        for key in sorted(withdrawn - before):
            log.info("no longer serving %s: it is unloaded", key)
        for key in withdrawn:
            self._catalogue.free(models[key].digest)
        self._drain(control, time.monotonic())

    def preload(self) -> None:
        """Load models that an operator wants loaded; each once, so that memory's limit decides afterwards."""
        for key in sorted(self._control.loaded):
            model, change = self._catalogue.models.get(key), self._control.loaded.get(key)
            if model is None or change is None or self._preloaded.get(key) == change.at:
                continue  # `change`: what came before takes a while, and this may be unloaded since
            self._preloaded[key] = change.at
            try:
                self._catalogue.use(model.digest)
                log.info("loaded %s, as an operator wants it", key)
            except (BundleError, UnknownModel) as error:
                log.error("%s cannot be loaded: %s", key, error)

    def _drain(self, control: Control, moment: float) -> None:
        if self._draining_since is None:
            said = control.draining.get(self._name)
            if said is None or self._began is None or said.at < self._began:
                return
            self._draining_since = moment
            self._state.draining = True
            log.info("taking nothing more: %s wants this worker to leave (%s)", said.who, said.why or "no reason given")
        # A take that was sent before has brought its job by then, or nothing waits for its reply any more.
        if moment - self._draining_since > REPLY_S and not self._state.executions:
            log.info("nothing is in hand any more: this worker ends")
            self._state.stop.set()
