"""The models on disk: found, verified, loaded on first use, dropped when memory runs short."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from unikat.bundle import GRAPH, MANIFEST, Bundle, BundleError, key_of, list_bundles, read_bundle
from unikat.directions import read_directions
from unikat.v1.model_pb2 import Model
from unikat_worker.buckets import Limits
from unikat_worker.device import Device
from unikat_worker.graph import check_bundle
from unikat_worker.session import Session
from unikat_worker.settings import Preload

log = logging.getLogger(__name__)

_Stamp = tuple[tuple[str, int, int], ...]  # path, time of change and size of each file


class UnknownModel(LookupError):
    """No bundle here has the digest that a job names."""


@dataclass
class _Entry:
    bundle: Bundle
    directions: dict[str, float]  # name -> strength
    session: Session | None = None
    is_freed: bool = False  # since it was used last: it is not loaded before it is asked for
    loading: threading.Lock = field(default_factory=threading.Lock)

    def version(self) -> int:
        return self.bundle.model.version


@dataclass(frozen=True)
class Memory:
    """Which models are loaded before they are asked for, and the bytes of weights that stay loaded."""

    preload: Preload
    limit: int


class Catalogue:
    """Bundles below a folder by digest. Methods may be called by several threads."""

    def __init__(self, models: Path, device: Device, limits: Limits, memory: Memory) -> None:
        """`limits`: of a batch. Nothing is known before the first `scan`."""
        self._models = models
        self._device = device
        self._limits = limits
        self._memory = memory
        self._lock = threading.Lock()
        self._scanning = threading.RLock()
        self._entries: dict[str, _Entry] = {}  # by digest, least recently used first
        self._served: dict[str, str] = {}  # "name@version" -> digest
        self._stamps: dict[Path, _Stamp] = {}
        self._checked: set[str] = set()  # digests of bundles whose graph is what the manifest says

    @property
    def models(self) -> Mapping[str, Model]:
        """What can be asked for: "name@version" to its model."""
        with self._lock:
            return {key: self._entries[digest].bundle.model for key, digest in sorted(self._served.items())}

    @property
    def directions(self) -> dict[str, dict[str, float]]:
        """Of each digest that is served and has directions, their names and strengths."""
        with self._lock:
            served = {digest: self._entries[digest].directions for digest in self._served.values()}
        return {digest: of for digest, of in served.items() if of}

    @property
    def loaded(self) -> list[str]:
        """Digests of the models in memory, least recently used first."""
        with self._lock:
            return [digest for digest, entry in self._entries.items() if entry.session is not None]

    def peek(self, digest: str) -> Session | None:
        """The session if it is loaded."""
        with self._lock:
            entry = self._entries.get(digest)
            return entry.session if entry else None

    def free(self, digest: str) -> None:
        """Drop a session from memory; who draws with it keeps it until it is done, and `use` loads it again."""
        with self._lock:
            entry = self._entries.get(digest)
            if entry is None:
                return
            entry.is_freed = True
            if entry.session is not None:
                entry.session = None
                log.info("freed the memory of %s", key_of(entry.bundle.model))

    def use(self, digest: str) -> Session:
        """The session, loaded if need be.

        Raises UnknownModel where there is no such bundle, BundleError where it has become unusable.
        """
        entry = self._find(digest)
        if entry is None:
            self.scan()  # it may have come a moment ago
            entry = self._find(digest)
        if entry is None:
            raise UnknownModel(f"no bundle below {self._models} has the digest {digest}")
        try:
            session = self._loaded(digest, entry)
        except BundleError as error:
            self.scan()  # it may have gone, or have been replaced, a moment ago
            with self._lock:
                if digest in self._served.values():
                    raise
                self._entries.pop(digest, None)
            raise UnknownModel(f"the bundle below {self._models} with the digest {digest} is gone") from error
        with self._lock:
            self._entries[digest] = self._entries.pop(digest, entry)  # now the most recently used
        return session

    def _loaded(self, digest: str, entry: _Entry) -> Session:
        with entry.loading:
            if entry.session is None:
                entry.bundle.verify()  # what was admitted may have been replaced since
                entry.session, entry.is_freed = Session(entry.bundle, self._device, self._limits), False
                self._drop_others(keep=digest)
            return entry.session

    def scan(self) -> bool:
        """Look for bundles that came, changed or went; True if what is served changed."""
        with self._scanning:
            return self._scan()

    def _scan(self) -> bool:
        before = self._digests()
        paths = list_bundles(self._models)
        for path in paths:
            stamp = _stamp(path)
            if self._stamps.get(path) != stamp:
                self._stamps[path] = stamp
                self._admit(path)
        for path in self._stamps.keys() - set(paths):
            del self._stamps[path]
            self._withdraw(f"{path.parent.name}@{path.name}", f"{path}: is gone")
        changed = self._digests() != before
        if changed:
            self._preload()
        return changed

    def _preload(self) -> None:
        """Load what the setting names, newest versions first, as far as memory goes."""
        with self._lock:
            entries = sorted((self._entries[digest] for digest in self._served.values()), key=_Entry.version)
        newest = {entry.bundle.model.name: entry for entry in entries}
        chosen = {Preload.NONE: [], Preload.NEWEST: list(newest.values()), Preload.ALL: entries[::-1]}
        room = self._memory.limit - sum(entry.session.bytes for entry in entries if entry.session)
        for entry in chosen[self._memory.preload]:
            size = sum(file.size for file in entry.bundle.model.files if file.path == GRAPH)
            if entry.session is not None or entry.is_freed or size > room:
                continue
            room -= size
            try:
                self.use(entry.bundle.model.digest)
            except BundleError as error:
                log.error("%s cannot be used: %s", key_of(entry.bundle.model), error)

    def _digests(self) -> dict[str, str]:
        with self._lock:
            return dict(self._served)

    def _find(self, digest: str) -> _Entry | None:
        with self._lock:
            return self._entries.get(digest)

    def _admit(self, path: Path) -> None:
        key = f"{path.parent.name}@{path.name}"
        try:
            bundle = read_bundle(path)
            if key_of(bundle.model) != key:
                raise BundleError(f"{path / MANIFEST}: names {key_of(bundle.model)}, but lies in the folder of {key}")
            bundle.verify()
            directions = {direction.name: direction.strength for direction in read_directions(bundle)}
            entry = self._find(bundle.model.digest) or _Entry(bundle, directions)
            if bundle.model.digest not in self._checked:
                check_bundle(bundle)  # before anybody is told of it
                self._checked.add(bundle.model.digest)
        except BundleError as error:
            kept = self._served.get(key)
            if kept is not None and self.peek(kept) is not None:
                log.error("refused %s; what is loaded of %s goes on being served", error, key)
            else:
                self._withdraw(key, str(error))
            return
        with self._lock:
            self._entries[bundle.model.digest] = entry
            self._served[key] = bundle.model.digest
        log.info("serving %s (%s)", key, bundle.model.digest)

    def _withdraw(self, key: str, why: str) -> None:
        with self._lock:
            digest = self._served.pop(key, None)
            if digest is not None:
                self._entries.pop(digest, None)
        log.error("refused %s", why) if digest is None else log.error("no longer serving %s: %s", key, why)

    def _drop_others(self, keep: str) -> None:
        """Drop the least recently used sessions beyond the limit; who draws with one keeps it until it is done."""
        with self._lock:
            loaded = [(digest, entry, entry.session) for digest, entry in self._entries.items() if entry.session]
            total = sum(session.bytes for _, _, session in loaded)
            for digest, entry, session in loaded:
                if total > self._memory.limit and digest != keep:
                    entry.session = None
                    total -= session.bytes
                    log.info("dropped %s from memory", key_of(entry.bundle.model))


def _stamp(path: Path) -> _Stamp:
    files = sorted(file for file in path.rglob("*") if file.is_file())
    found = []
    for file in files:
        try:
            status = file.stat()
        except FileNotFoundError:
            continue  # it went while we looked; the next scan sees it
        found.append((str(file), status.st_mtime_ns, status.st_size))
    return tuple(found)
