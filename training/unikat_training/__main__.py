"""The program: `python -m training`."""

import os

# Threads that wait must sleep, not spin: on cores shared with other programs, spinning made training 5 to 8 times
# slower. OpenMP reads this when torch is loaded, so it is set before.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from unikat_training.cli import app

if __name__ == "__main__":
    app(prog_name="python -m training")
