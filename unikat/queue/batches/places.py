"""Which batch writes where: no two into the same folder, nor one into what another makes in its own.

`create_batch.lua` looks. Folders beside those (the batch of "out" comes after the batch of "out/first") are nobody's
concern.
"""

from __future__ import annotations

from unikat.batches.destination import FOLDERS


class DestinationTaken(Exception):
    """Files of another batch would be mixed with those of this one. `batch` writes to `destination`."""

    def __init__(self, batch: str, destination: str) -> None:
        super().__init__(f"batch {batch} writes to {destination}")
        self.batch = batch
        self.destination = destination


def around(destination: str) -> list[str]:
    """The destinations in which one lies: "s3://bucket/a" and "s3://bucket" for "s3://bucket/a/b"."""
    start = destination.index("://") + 3
    ends = [at for at, letter in enumerate(destination) if letter == "/" and at > start]
    return [destination[:end] for end in reversed(ends)]


def inside(destination: str) -> list[str]:
    """The folders that a batch makes in its own."""
    return [f"{destination}/{folder}" for folder in FOLDERS]
