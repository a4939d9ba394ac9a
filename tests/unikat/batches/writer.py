"""A process that writes to a folder as it is told, a line of JSON at a time: to be limited, demoted and killed.

`{"write": 1000}` writes a file of so many bytes, `{"stop_within": 1000}` stops after so many bytes of one,
`{"limit": n}` limits the size of files, `{"user": n}` becomes another user. Each is answered with "ok" or the reason
why not.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unikat.batches.destination import normalise
from unikat.batches.storage import DestinationError, Storage

ROOT = Path(__file__).parents[3]


def obey(storage: Storage, command: dict[str, int]) -> str:
    """Do it, and say how it went."""
    if "limit" in command:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # an error instead of the end
        resource.setrlimit(resource.RLIMIT_FSIZE, (command["limit"], resource.RLIM_INFINITY))
    if "user" in command:
        os.seteuid(command["user"])
    if "stop_within" in command:
        with storage.writing("shards/stopped.tar") as file:
            file.write(bytes(command["stop_within"]))
            file.flush()
            print("stopped", flush=True)
            sys.stdin.read()
    if "write" in command:
        try:
            storage.write("shards/written.tar", b"x" * command["write"])
        except DestinationError as error:
            return str(error)
    return "ok"


class Writer:
    """The process, as tests see it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def tell(self, **command: int) -> str:
        """Give an order; the answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()


@contextmanager
def writer_to(folder: Path) -> Iterator[Writer]:
    """A process that writes to a folder, until the end of the block."""
    command = [sys.executable, "-m", "tests.unikat.batches.writer", str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Writer(process)
        finally:
            process.kill()


def main() -> None:
    """Obey until there is no more input."""
    url = normalise(sys.argv[1])
    storage = Storage.open(url, [url])
    for line in sys.stdin:
        print(obey(storage, json.loads(line)), flush=True)


if __name__ == "__main__":
    main()
