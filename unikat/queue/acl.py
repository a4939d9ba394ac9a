"""What service, worker, who makes tokens and who watches may do in Redis: a user each, its commands and keys, no more.

A script runs with the rights of the user who calls it, so that it can do nothing that the user cannot.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

from unikat.queue.tokens import TOKENS_KEY

_KEYS: Final = ("~unikat:*", "~rq:*")
# Who draws need not know who may call; who serves reads it; who says so (`unikat tokens`) does nothing else.
KEYS: Final[dict[str, tuple[str, ...]]] = {
    "service": (*_KEYS, f"%R~{TOKENS_KEY}"),
    "worker": _KEYS,
    "operator": (f"~{TOKENS_KEY}",),
    # Who watches (`unikat top`) writes nothing, and reads no results: nobody's images.
    "monitor": tuple(
        f"%R~{key}"
        for key in (
            *("unikat:workers", "unikat:worker:*", "unikat:activity:*", "unikat:batches:*", "unikat:batch:*"),
            *("rq:queues", "rq:queue:*", "rq:worker:*", "rq:job:*"),
        )
    ),
}
CHANNELS: Final = ("rq:*",)

_CONNECTION: Final = "auth client|setinfo client|setname client|info command|info hello info ping select time"
_SCRIPTS: Final = "evalsha script|exists script|load"
_TRANSACTIONS: Final = "discard exec multi unwatch watch"
_BOTH: Final = f"""
    {_CONNECTION} {_SCRIPTS} {_TRANSACTIONS}
    bitcount getbit setbit
    del exists expire get getrange mget persist pexpire set type
    hdel hexists hget hgetall hincrby hincrbyfloat hkeys hlen hmget hset hsetnx hstrlen
    blpop llen lmove lpop lpos lpush lrange lrem ltrim rpush
    sadd smembers srem
    xadd xinfo|stream xlen xrange xrevrange xtrim
    zadd zcard zcount zpopmin zrange zrangebyscore zrem zremrangebyscore zscore
"""
USERS: Final[dict[str, str]] = {
    "service": f"{_BOTH} wait xread",
    "worker": f"{_BOTH} subscribe unsubscribe",
    "operator": f"{_CONNECTION} {_TRANSACTIONS} hgetall hset",
    "monitor": f"{_CONNECTION} get getrange hget hgetall llen lrange smembers zrange",
}
COMMANDS: Final = frozenset(word for commands in USERS.values() for word in commands.split())
"""All of them: "get", or "client|info" for a command's part."""


def acl_file(passwords: Mapping[str, str]) -> str:
    """The ACL file for users and their passwords, which are in it as digests. Nobody else may do more than ping.

    "admin", for people and RQ's own tools, may do everything.
    """
    lines = ["user default on nopass resetchannels resetkeys -@all +ping"]  # health checks know no password
    for name, password in passwords.items():
        digest = hashlib.sha256(password.encode()).hexdigest()
        if name == "admin":
            lines.append(f"user admin on #{digest} ~* &* +@all")
            continue
        channels = [f"&{channel}" for channel in CHANNELS if name in ("service", "worker")]
        allowed = [f"+{command}" for command in sorted(set(USERS[name].split()))]
        lines.append(
            " ".join(["user", name, "on", f"#{digest}", "resetchannels", *KEYS[name], *channels, "-@all", *allowed])
        )
    return "\n".join(lines) + "\n"
