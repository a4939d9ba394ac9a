import os

# Before NumPy is loaded: inference threads share the cores already, and OpenBLAS would start as many threads as there
# are cores for each matrix product of theirs, which wait by spinning.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
