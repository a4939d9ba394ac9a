"""A compose stack under Docker or Podman, as the compose test drives it."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).resolve().parent
SERVICES: Final = ("valkey", "service", "worker")
# In the order in which they are looked for: the engine, and what reads compose files for it.
KNOWN: Final = (("docker", "docker compose"), ("podman", "podman-compose"), ("podman", "podman compose"))


class EngineError(RuntimeError):
    """No engine, or a command of it failed; the message has its output."""


@dataclass(frozen=True)
class Engine:
    """`program` is docker or podman, `compose` the command that reads compose files for it."""

    program: str
    compose: tuple[str, ...]

    @classmethod
    def find(cls, compose: str | None = None) -> Engine:
        """The engine of `compose`, by default the first that is installed. Raises EngineError if there is none."""
        programs = [program for program in ("docker", "podman") if _answers(program, "ps")]
        if compose is not None and programs:
            named = next((program for program in programs if program in compose), programs[0])
            return cls(named, tuple(shlex.split(compose)))
        for program, command in KNOWN:
            words = tuple(shlex.split(command))
            if program in programs and _answers(*words, "version"):
                return cls(program, words)
        raise EngineError("no docker (with its compose plugin) or podman (with podman-compose) here")

    def __call__(self, *args: str) -> str:
        """Standard output of `docker <args>` or `podman <args>`. Raises EngineError."""
        return _run((self.program, *args), os.environ)


@dataclass(frozen=True)
class Stack:
    """The compose files as one project; `variables` are what their ${…} stand for."""

    engine: Engine
    project: str
    files: tuple[str, ...]
    variables: Mapping[str, str]

    def up(self) -> None:
        """Build the images and start everything; returns before it is healthy."""
        self._compose("up", "-d", "--build")

    def run(self, service: str, *args: str) -> str:
        """The last line that a container of its own prints. Raises EngineError."""
        # Docker finds a service of a profile by its name, podman-compose only with its profile.
        return self._compose("--profile", "tools", "run", "--rm", "-T", service, *args).strip().rpartition("\n")[2]

    def down(self) -> None:
        """Stop everything, and remove containers, networks and volumes."""
        self._compose("down", "--volumes")

    def logs(self) -> str:
        """The last lines of every container."""
        tails = []
        for service in SERVICES:
            for container in self.containers(service, "--all"):
                words = (self.engine.program, "logs", "--tail", "30", container)
                done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                tails.append(f"--- {service} {container[:12]}\n{done.stdout}")
        return "\n".join(tails)

    def containers(self, service: str, *options: str) -> list[str]:
        """Ids of the running containers of a service."""
        labels = {"com.docker.compose.project": self.project, "com.docker.compose.service": service}
        filters = [f"--filter=label={name}={value}" for name, value in labels.items()]
        return self.engine("ps", "--quiet", "--no-trunc", *options, *filters).split()

    def start_again(self, service: str) -> None:
        """Start the containers of a service that were killed: an engine leaves those alone."""
        for container in self.containers(service, "--all"):
            self.engine("start", container)

    def wait_until_healthy(self, expected: Mapping[str, int], deadline: float) -> None:
        """Wait for so many healthy containers of each service. Raises EngineError after `deadline` seconds."""
        until = time.monotonic() + deadline
        while True:
            healthy = {service: sum(map(self._healthy, self.containers(service))) for service in expected}
            if healthy == expected:
                return
            if time.monotonic() > until:
                raise EngineError(f"after {deadline:.0f} s, healthy are {healthy}, and should be {dict(expected)}")
            time.sleep(0.5)

    def _healthy(self, container: str) -> bool:
        # Podman leaves running the checks to systemd, which is not everywhere: run one here.
        check = {
            "docker": ("docker", "inspect", "--format={{.State.Health.Status}}", container),
            "podman": ("podman", "healthcheck", "run", container),
        }[self.engine.program]
        done = subprocess.run(check, capture_output=True, text=True)
        return done.returncode == 0 and done.stdout.strip() in ("healthy", "")

    def _compose(self, *args: str) -> str:
        files = [word for file in self.files for word in ("-f", str(FOLDER / file))]
        return _run((*self.engine.compose, "-p", self.project, *files, *args), os.environ | dict(self.variables))


def _answers(*words: str) -> bool:
    """Whether the command is there and works: a Docker client, for one, may be without its engine."""
    return bool(shutil.which(words[0])) and subprocess.run(words, capture_output=True).returncode == 0


def _run(words: tuple[str, ...], environment: Mapping[str, str]) -> str:
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise EngineError(f"{shlex.join(words)} exited with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout
