"""The program: `python -m unikat_training`, for `torchrun` and process supervisors; people type `unikat train`."""

from unikat_training.commands import load

if __name__ == "__main__":
    load()(prog_name="python -m unikat_training")
