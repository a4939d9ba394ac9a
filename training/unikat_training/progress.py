"""Progress bars that are also readable in a log file."""

import sys

from tqdm import tqdm


def progress_bar(total: int, done: int, unit: str, shown: bool) -> "tqdm[None]":
    """A bar on standard error that stands at `done` of `total`."""
    return tqdm(
        total=total,
        initial=done,
        unit=unit,
        unit_scale=True,
        disable=not shown,
        mininterval=0.2 if sys.stderr.isatty() else 60,  # a log file wants a line a minute
    )
