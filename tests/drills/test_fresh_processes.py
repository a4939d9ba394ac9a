"""The same pixels give the same bytes in every process, wherever the operating system puts its memory.

isal, which wrote the PNG files once, gave other bytes in some processes, for one picture or another, and in each
of these for as long as it lived. So nothing less than many processes shows it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat

from unikat.encoders import FORMAT_OF
from unikat_worker.encoding import verify

PRINT = "from unikat_worker.encoding import fingerprint; print(*map(fingerprint, {names}))"


def test_every_process_encodes_the_same_bytes(is_long: bool) -> None:
    names = sorted(FORMAT_OF)
    command = [sys.executable, "-c", PRINT.format(names=names)]

    def fingerprints(command: list[str]) -> str:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        found = Counter(threads.map(fingerprints, repeat(command, 5_000 if is_long else 20)))
    print(f"\n{found.total():,} processes, {len(names)} encoders: {found}")
    assert list(found) == [" ".join(map(verify, names))]
