"""Matrix products in a worker take no threads of their own: its inference threads share the cores already."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Final

import pytest

PRODUCT: Final = (
    "import numpy, os\nnumpy.ones((500, 500)) @ numpy.ones((500, 500))\nprint(len(os.listdir('/proc/self/task')))"
)


@pytest.mark.parametrize("begin", ["import unikat_worker.drawing", "import unikat.cli, unikat_worker.commands"])
def test_a_product_starts_no_threads(begin: str) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    assert threads(begin, clean) == threads(begin, clean | {"OPENBLAS_NUM_THREADS": "1"})


def threads(begin: str, variables: dict[str, str]) -> int:
    """Of a process after a product; ONNX Runtime has one of its own."""
    command = [sys.executable, "-c", f"{begin}\n{PRODUCT}"]
    return int(subprocess.run(command, capture_output=True, text=True, env=variables, check=True).stdout)
