"""Which batch writes where: no two into the same folder, nor one into what another makes in its own."""

from __future__ import annotations

from typing import cast

from redis import Redis
from redis.client import Pipeline

from unikat.batches.destination import FOLDERS
from unikat.queue.batches.keys import DESTINATIONS, destination_key


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


def in_the_way(redis: Redis | Pipeline, batch: str, destination: str) -> DestinationTaken | None:
    """A batch that keeps `batch` from writing to a destination.

    It writes to the same folder or one around it, or into a folder that this one will make in its own. Folders beside
    those (the batch of "out" comes after the batch of "out/first") are nobody's concern.
    """
    places = [destination, *around(destination)]
    for folder in FOLDERS:
        inside = f"{destination}/{folder}"
        places += [inside, *_below(redis, inside)]
    holders = cast(list[bytes | None], redis.mget([destination_key(place) for place in places]))
    for place, holder in zip(places, holders, strict=True):
        if holder is not None and holder.decode() != batch:
            return DestinationTaken(holder.decode(), place)
    return None


def _below(redis: Redis | Pipeline, folder: str) -> list[str]:
    """The first destination below a folder, if there is one."""
    begin, end = f"[{folder}/", f"({folder}0"  # "0" follows "/"
    found = cast(list[bytes], redis.zrange(DESTINATIONS, begin, end, bylex=True, offset=0, num=1))
    return [each.decode() for each in found]
