"""What service and worker may do in Redis: a user each, its commands and keys, and no more.

A script runs with the rights of the user who calls it, so that it can do nothing that the user cannot.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

KEYS: Final = ("unikat:*", "rq:*")
CHANNELS: Final = ("rq:*",)

_CONNECTION: Final = "auth client|setinfo client|setname client|info command|info hello info ping select time"
_SCRIPTS: Final = "evalsha script|load"
_TRANSACTIONS: Final = "discard exec multi unwatch watch"
_BOTH: Final = f"""
    {_CONNECTION} {_SCRIPTS} {_TRANSACTIONS}
    bitcount getbit setbit
    del exists expire get incrby mget persist pexpire psetex pttl set setex setnx ttl type
    hdel hexists hget hgetall hincrby hincrbyfloat hkeys hlen hmget hset hsetnx
    blpop llen lmove lpop lpos lpush lrange lrem ltrim rpush
    publish
    sadd sismember smembers srem
    xadd xinfo|stream xlen xrange xrevrange xtrim
    zadd zcard zcount zrange zrangebyscore zrem zremrangebyscore zscore
"""
USERS: Final[dict[str, str]] = {
    "service": f"{_BOTH} xread",
    "worker": f"{_BOTH} subscribe unsubscribe",
}
COMMANDS: Final = frozenset(word for commands in USERS.values() for word in commands.split())
"""All of them: "get", or "client|info" for a command's part."""


def acl_file(passwords: Mapping[str, str]) -> str:
    """The ACL file for users and their passwords, which are in it as digests; nobody else may do anything."""
    lines = ["user default off"]
    for name, password in passwords.items():
        digest = hashlib.sha256(password.encode()).hexdigest()
        keys = [f"~{key}" for key in KEYS] + [f"&{channel}" for channel in CHANNELS]
        allowed = [f"+{command}" for command in sorted(set(USERS[name].split()))]
        lines.append(" ".join(["user", name, "on", f"#{digest}", "resetchannels", *keys, "-@all", *allowed]))
    return "\n".join(lines) + "\n"
