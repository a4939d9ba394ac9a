"""Everything that is in a Redis database, so that two of them can be compared: ids and times are made alike."""

from __future__ import annotations

import json
import re
import time
import zlib
from base64 import b64decode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from redis import Redis

_ALIKE = (
    (re.compile(r"[0-9a-f]{32}"), "<execution>"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"), "<time>"),
    (re.compile(r"\b\d{10}(\.\d+)?\b"), "<time>"),
    (re.compile(r"worker\.jobs\.draw|tests\.queue\.functions\.draw"), "<draw>"),
)
_SECONDS = {"total_working_time"}
_TOLERANCE = 5.0  # seconds, of times to live and of scores

Parts = Mapping[str, object]


@dataclass(frozen=True)
class Found:
    """A difference: `part` is "type", "ttl", or a field, a member or an entry; None: it is not there."""

    stage: str
    key: str
    part: str
    rq: object
    ours: object

    def __str__(self) -> str:
        return f"{self.stage}: {self.key} · {self.part}: RQ has {self.rq!r}, we have {self.ours!r}"


def snapshot(redis: Redis) -> dict[str, Parts]:
    """Each key's type, time to live and parts."""
    found: dict[str, Parts] = {}
    for key in cast("list[bytes]", redis.keys("*")):
        kind = cast(bytes, redis.type(key)).decode()
        found[_alike(key)] = {"type": kind, "ttl": float(redis.ttl(key)), **dict(_parts(redis, key, kind))}
    return found


def differences(stage: str, rq: Mapping[str, Parts], ours: Mapping[str, Parts]) -> Iterator[Found]:
    """What is not the same in both."""
    for key in sorted(rq.keys() | ours.keys()):
        left, right = rq.get(key), ours.get(key)
        if left is None or right is None:
            yield Found(stage, key, "type", left and left["type"], right and right["type"])
            continue
        for part in sorted(left.keys() | right.keys()):
            if not _same(left.get(part), right.get(part)):
                yield Found(stage, key, part, left.get(part), right.get(part))


def _same(left: object, right: object) -> bool:
    if isinstance(left, float) and isinstance(right, float):
        # -1: for ever; infinite: a score of RQ's that says the same.
        return left == right or (left != -1 and right != -1 and abs(left - right) < _TOLERANCE)
    return left == right


def _parts(redis: Redis, key: bytes, kind: str) -> Iterator[tuple[str, object]]:
    client = cast(Any, redis)  # redis-py's replies are typed for sync and async, bytes and text at once
    if kind == "hash":
        for field, value in client.hgetall(key).items():
            yield field.decode(), _field(field.decode(), value)
    elif kind == "zset":
        for member, score in client.zrange(key, 0, -1, withscores=True):
            yield _alike(member), score - time.time()
    elif kind == "list":
        for place, value in enumerate(client.lrange(key, 0, -1)):
            yield f"[{place}]", _alike(value)
    elif kind == "set":
        for value in client.smembers(key):
            yield _alike(value), True
    elif kind == "stream":
        for place, (_, fields) in enumerate(client.xrange(key)):
            yield f"[{place}]", {field.decode(): _field(field.decode(), value) for field, value in fields.items()}
    else:
        yield "value", _alike(client.get(key))


def _field(name: str, value: bytes) -> object:
    if name == "data":
        return _alike(
            zlib.decompress(value) if value.startswith(b"\x78") else value
        )  # compressed or not, as both may be
    if name == "exc_info":
        return zlib.decompress(value).decode()
    if name == "exc_string":  # the last line: the traceback is of where it was raised
        return zlib.decompress(b64decode(value)).decode().strip().splitlines()[-1]
    if name == "return_value":
        return json.loads(b64decode(value))
    return "<seconds>" if name in _SECONDS else _alike(value)


def _alike(value: object) -> str:
    text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
    for pattern, name in _ALIKE:
        text = pattern.sub(name, text)
    return text
