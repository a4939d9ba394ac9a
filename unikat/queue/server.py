"""What a Redis or Valkey must be for the queue: it is looked at when a program starts, and by `unikat doctor`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

OLDEST: Final = (7, 0)  # scripts that begin with `#!lua`: a full server refuses them whole


def server_problem(info: Mapping[str, object]) -> str | None:
    """Why the server that answered INFO with `info` cannot be used; None if it can."""
    if "dragonfly_version" in info:
        return (
            "it is Dragonfly, which wants every key of a script declared; many of ours follow from what a script finds"
        )
    if info.get("redis_mode") == "cluster":
        return (
            "it is a cluster, which wants every key of a script declared; many of ours follow from what a script finds. "
            "Use one server, with a replica and Sentinel for failover"
        )
    version = str(info.get("redis_version", "0"))  # Valkey gives the version of Redis that it is compatible with
    if tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < OLDEST:
        return f"it is version {version}; the oldest that works is {OLDEST[0]}.{OLDEST[1]}"
    return None
