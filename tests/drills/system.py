"""A whole system of real processes, with a proxy on every road between them."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Final, cast

from redis import Redis
from redis.exceptions import RedisError

from tests.support.processes import Program, eventually, free_port
from tests.support.proxy import Proxy, running_proxy
from tests.support.tiny_model import write_tiny_bundle
from tests.support.valkey import Valkey, running_valkey

SERVICES: Final = 2
WORKERS: Final = 2
WORK: Final = 100  # of the tiny model: a fraction of a millisecond an image
READY_S: Final = 60.0
# Calls fill the file, and Valkey reads it when it starts.
VALKEY: Final = {"fsync": "always", "auto_aof_rewrite_min_size": "8mb", "repl_diskless_sync_delay": "0"}


class System:
    """Two services and two workers over one Valkey that syncs every write.

    `fronts` are between clients and each service, `store_of_services` and `store_of_workers` before Valkey.
    """

    def __init__(self, valkey: Valkey, folder: Path, exits: ExitStack) -> None:
        self.valkey, self.models, self.out = valkey, folder / "models", folder / "out"
        self.out.mkdir()
        self.version = 0
        self.returned: set[str] = set()  # leases that were there when Valkey came back with what it had forgotten
        self.add_version()
        self.redis: Redis = exits.enter_context(valkey.client())
        self._exits = exits
        self._spare: Valkey | None = None
        store = str(valkey.socket)
        self.store_of_services = exits.enter_context(running_proxy(store))
        self.store_of_workers = exits.enter_context(running_proxy(store))
        self._listen = [f"127.0.0.1:{free_port()}" for _ in range(SERVICES)]
        self.fronts = [exits.enter_context(running_proxy(target, frames=True)) for target in self._listen]
        self.services = [self._new_service(number) for number in range(SERVICES)]
        self.workers = [self._new_worker() for _ in range(WORKERS)]
        exits.callback(self._kill_all)

    def add_version(self) -> str:
        """The next version of the model "tiny" that draws other images; its key."""
        self.version += 1
        beside = self.models.with_name("written")
        write_tiny_bundle(beside, version=self.version, work=WORK + self.version)
        (self.models / "tiny").mkdir(parents=True, exist_ok=True)
        (beside / "tiny" / str(self.version)).rename(self.models / "tiny" / str(self.version))
        return f"tiny@{self.version}"

    def kill_service(self, number: int) -> None:
        """SIGKILL, and another one in its place that is not ready yet."""
        self.services[number].kill()
        self.services[number] = self._new_service(number)

    def kill_worker(self, number: int) -> None:
        """SIGKILL, and another one in its place that is not ready yet."""
        self.workers[number].kill()
        self.workers[number] = self._new_worker()

    def kill_valkey(self) -> None:
        """SIGKILL, and started again at once."""
        self.valkey.kill()
        self.valkey.start()

    def restore_older(self, seconds: float) -> float:
        """Valkey is killed and comes back as it was some seconds ago; the moment to which it went back."""
        self.configure(auto_aof_rewrite_percentage=0)  # the file is copied while it is written, and not written anew
        eventually(lambda: not self.redis.info("persistence")["aof_rewrite_in_progress"])
        beside = self.valkey.directory / "older"
        shutil.rmtree(beside, ignore_errors=True)
        since = time.monotonic()
        shutil.copytree(self.valkey.directory / "appendonlydir", beside)
        time.sleep(seconds)
        self.valkey.kill()
        shutil.rmtree(self.valkey.directory / "appendonlydir")
        beside.rename(self.valkey.directory / "appendonlydir")
        self.valkey.start()
        self.returned |= {lease for leases in self.leases().values() for lease in leases}
        return since

    def leases(self) -> dict[str, set[str]]:
        """Of each job, the leases that calls of services hold which are alive, as "<service>/<call>"."""
        alive = {str(key, "ascii").rpartition(":")[2] for key in self.redis.scan_iter("unikat:inbox:*", count=1000)}
        found: dict[str, set[str]] = {}
        for key in self.redis.scan_iter("unikat:calls:*", count=1000):
            held = {str(lease, "ascii") for lease in cast(set[bytes], self.redis.smembers(key))}
            found[str(key, "ascii")] = {lease for lease in held if lease.partition("/")[0] in alive}
        return found

    def fail_over(self) -> None:
        """A replica that has everything takes over behind the address; old connections lead to the one of before.

        That takes no more writes, and follows: as a hosted Valkey does when it is maintained.
        """
        if self._spare is None:
            self._spare = self._exits.enter_context(running_valkey(**VALKEY))
        new, old = self._spare, self.redis
        found: Redis = self._exits.enter_context(new.client())
        found.replicaof("127.0.0.1", str(self.valkey.port))
        eventually(lambda: found.info("replication")["master_link_status"] == "up", deadline=READY_S)
        old.client_pause(1000, all=False)  # what is written now waits, and is refused then
        eventually(lambda: _offset(found) >= _offset(old))
        found.replicaof("NO", "ONE")
        for proxy in (self.store_of_services, self.store_of_workers):
            proxy.lead_to(str(new.socket))
        old.replicaof("127.0.0.1", str(new.port))
        old.client_unpause()
        self.valkey, self.redis, self._spare = new, found, self.valkey

    @contextmanager
    def stopped_valkey(self) -> Iterator[None]:
        """SIGSTOP, and SIGCONT at the end of the block."""
        self.valkey.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.valkey.signal(signal.SIGCONT)

    def configure(self, **settings: str | int) -> None:
        """CONFIG SET, once Valkey answers."""

        def done() -> bool:
            with suppress(RedisError):
                for name, value in settings.items():
                    self.redis.config_set(name.replace("_", "-"), value)
                return True
            return False

        eventually(done)

    def wait_until_ready(self) -> None:
        """Return when every process is."""
        for service in self.services:
            service.wait_for_line("service ready", READY_S)
        for worker in self.workers:
            worker.wait_for_line("worker ready", READY_S)

    def any_road(self, dice: Random, road: str) -> Proxy:
        """A proxy of one of the kinds of `ROADS`."""
        if road == "client–service":
            return dice.choice(self.fronts)
        return self.store_of_services if road == "service–Valkey" else self.store_of_workers

    def _new_service(self, number: int) -> Program:
        return Program(
            "unikat_service", env=self._env(self.store_of_services) | {"UNIKAT_LISTEN": self._listen[number]}
        )

    def _new_worker(self) -> Program:
        return Program("unikat_worker", env=self._env(self.store_of_workers) | {"UNIKAT_MODELS": str(self.models)})

    def _env(self, store: Proxy) -> dict[str, str]:
        return {
            "UNIKAT_REDIS_URL": f"redis://{store.target}",
            "UNIKAT_DESTINATIONS": f"file://{self.out}",
            "UNIKAT_THREADS": "1",
        }

    def _kill_all(self) -> None:
        for program in [*self.services, *self.workers]:
            program.kill()


def _offset(redis: Redis) -> int:
    offset: int = redis.info("replication")["master_repl_offset"]
    return offset


ROADS: Final = ("client–service", "service–Valkey", "worker–Valkey")


@contextmanager
def running_system(folder: Path) -> Iterator[System]:
    """A system that is ready, and gone at the end of the block; its files are in `folder`."""
    with ExitStack() as exits:
        valkey = exits.enter_context(running_valkey(**VALKEY))
        system = System(valkey, folder, exits)
        system.wait_until_ready()
        yield system
