"""Which addresses only this machine reaches: no network sees what goes to them."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Final

_SCHEME: Final = re.compile(r"(?:dns|ipv4|ipv6):(?:///)?")
_HOST: Final = re.compile(r"\[(?P<v6>[^]]+)\](?::\w+)?|(?P<host>[^:]+)(?::\w+)?|(?P<bare>[0-9A-Fa-f:.]+)")


def is_loopback(address: str) -> bool:
    """Whether an address of gRPC ("host:port", "ipv6:[::1]:50051", "unix:/run/unikat.sock") is of this machine only.

    A name counts by itself and is not resolved: what is not known to be local is not.
    """
    if address.startswith(("unix:", "unix-abstract:")):
        return True
    scheme = _SCHEME.match(address)
    hosts = address[scheme.end() :] if scheme else address
    return all(map(_is_local, hosts.split(",")))  # ipv4: and ipv6: take several


def _is_local(address: str) -> bool:
    found = _HOST.fullmatch(address)
    if found is None:
        return False
    host = found["v6"] or found["host"] or found["bare"]
    if host.rstrip(".").lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
