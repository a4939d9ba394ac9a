"""Measurements: what is claimed about speed and quality, each figure by one command (benchmarks/README.md)."""

import os

# As workers do, before NumPy is loaded: OpenBLAS' threads wait by spinning, which CPU times would count.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
