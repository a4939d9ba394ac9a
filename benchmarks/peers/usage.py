"""What process trees use: CPU time, memory."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil

Pids = Mapping[str, int]  # part of a server -> its first process


def tree(pid: int) -> list[psutil.Process]:
    """A process and all that it started, and they."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def cpu_seconds(pids: Pids) -> dict[str, float]:
    """User and system time of each part's living processes, s."""
    used = {}
    for part, pid in pids.items():
        used[part] = 0.0
        for process in tree(pid):
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                used[part] += times.user + times.system
    return used


def busy_seconds() -> float:
    """Time that all cores together were not idle since the machine started, s; other guests' theft counts."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)  # guests are in user, too


def pss_mib(pids: Pids) -> dict[str, float]:
    """Proportional set size of each part, MiB: a page that several processes share counts once between them."""
    used = {}
    for part, pid in pids.items():
        total = 0
        for process in tree(pid):
            with suppress(OSError, psutil.Error):
                total += _pss_kib(process.pid)
        used[part] = round(total / 1024, 1)
    return used


def _pss_kib(pid: int) -> int:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    return int(text[text.index("\nPss:") + 5 :].split()[0])


def kill_tree(pid: int) -> None:
    """SIGKILL to a process and all that it started; returns when they are gone."""
    processes = tree(pid)
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=10)
