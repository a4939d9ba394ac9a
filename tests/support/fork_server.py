"""`python -m tests.support.fork_server MODULE`: a process that has imported a program, and forks for each start of it.

Standard input is a SOCK_SEQPACKET socket. A request is JSON (`arguments`, `environment`, `folder`) with the descriptors
of standard output and error; the answer is {"pid": …}, and when that process has ended {"pid": …, "code": …}.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

LARGEST: Final = 2**17  # bytes of a request, of which the environment is most


@dataclass(frozen=True)
class Request:
    """What a child is to become."""

    content: dict[str, Any]
    outputs: list[int]  # descriptors

    def become(self, module: str) -> None:
        """In the child: what a process that was started by itself would have."""
        os.chdir(self.content["folder"])
        os.environ.clear()
        os.environ.update(self.content["environment"])
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for descriptor, number in zip(self.outputs, (1, 2), strict=True):
            os.dup2(descriptor, number)
            os.close(descriptor)
        sys.argv[:] = [module, *self.content["arguments"]]
        sys.modules.pop(f"{module}.__main__", None)  # it is run, not imported


def wait_for_request(control: socket.socket) -> Request | None:
    """In each child, what it is to become; in the parent None, when nobody asks any more."""
    awake, wakes = socket.socketpair()
    wakes.setblocking(False)
    signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        ready, _, _ = select.select([control, awake], [], [])
        if awake in ready:
            awake.recv(4096)
            report_ended(control)
        if control in ready:
            content, outputs, _, _ = socket.recv_fds(control, LARGEST, 2)
            if not content:
                return None
            pid = os.fork()
            with suppress(OSError):  # in both: whoever comes second finds it done
                os.setpgid(pid, pid)
            if not pid:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                return Request(json.loads(content), outputs)
            for descriptor in outputs:
                os.close(descriptor)
            control.send(json.dumps({"pid": pid}).encode())


def report_ended(control: socket.socket) -> None:
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            control.send(json.dumps({"pid": pid, "code": os.waitstatus_to_exitcode(status)}).encode())


def main() -> None:
    module = sys.argv[1]
    for name in sys.argv[2:]:
        importlib.import_module(name)
    threads = os.listdir("/proc/self/task")
    assert len(threads) == 1, "a forked process would lack the threads that an import started"
    request = wait_for_request(socket.socket(fileno=os.dup(0)))
    if request is not None:
        request.become(module)
        runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
