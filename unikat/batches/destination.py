"""Where a batch may write: destinations as canonical URLs, and the prefixes that the operator opened.

Everything here is about text, so that the service and the command line need no file system library.
`unikat.batches.storage` looks at what a destination really is, symbolic links included.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Final

MAX_LENGTH: Final = 1024  # characters of a URL; an object's key may have 1024 bytes
MAX_SEGMENT: Final = 255  # bytes: what Linux and macOS take as the name of a folder
FILE: Final = "file://"
FOLDERS: Final = (".unikat", "images", "shards")  # that a batch makes in its destination

_ALLOWED: Final = 'give an absolute path such as "/data/out" or a URL such as "s3://bucket/folder"'
_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/]*)(.*)", re.DOTALL)
_PATTERN: Final = re.compile(r"[*\[\]]")
_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?(:[0-9]{1,5})?")


def normalise(text: str) -> str:
    """The one URL of a destination: "file:///data/out" for a path, "s3://bucket/folder" for an object store.

    Doubled and trailing slashes are dropped. Raises ValueError, whose message says what is allowed.
    """
    _check_characters(text)
    scheme, host, path = _split(text)
    segments = [segment for segment in path.split("/") if segment]
    for segment in segments:
        if segment in (".", ".."):
            raise ValueError(f'must not have "." or ".." between slashes, as in "{text}": write out where it leads')
        if len(segment.encode()) > MAX_SEGMENT:
            raise ValueError(f"a folder's name may have {MAX_SEGMENT} bytes, {segment[:20]!r}... has more")
    url = f"{scheme}://{'/'.join([host, *segments])}" if segments else f"{scheme}://{host or '/'}"
    if len(url) > MAX_LENGTH:
        raise ValueError(f"may have {MAX_LENGTH} characters, has {len(url)}")
    return url


def open_prefixes(text: str) -> tuple[str, ...]:
    """The setting UNIKAT_DESTINATIONS, prefixes with commas between them, as canonical URLs.

    Because the operator writes it, a relative path is allowed and taken from the current folder, and "~" is the home
    folder. Raises ValueError that names the prefix that is wrong.
    """
    prefixes = []
    for prefix in filter(None, (part.strip() for part in text.split(","))):
        is_path = "://" not in prefix and "::" not in prefix
        try:
            prefixes.append(normalise(os.path.abspath(os.path.expanduser(prefix)) if is_path else prefix))
        except ValueError as error:
            raise ValueError(f'destination prefix "{prefix}": {error}') from error
    return tuple(prefixes)


def is_open(url: str, prefixes: Iterable[str]) -> bool:
    """Whether a destination is one of the prefixes or below one, by whole names: "/data/outside" is not in "/data/out".

    False for a URL that is not canonical. Both sides are text: no symbolic link is followed.
    """
    try:
        canonical = normalise(url) == url
    except ValueError:
        return False
    return canonical and any(url == prefix or url.startswith(prefix.rstrip("/") + "/") for prefix in prefixes)


def _check_characters(text: str) -> None:
    if not text:
        raise ValueError(f"must not be empty; {_ALLOWED}")
    if len(text) > 2 * MAX_LENGTH:  # before anything is done with it; slashes may yet be dropped
        raise ValueError(f"may have {MAX_LENGTH} characters, has {len(text)}")
    if not text.isprintable():
        raise ValueError("must not have control characters or others that cannot be printed")
    for characters in ("\\", "?", "#", "::"):
        if characters in text:
            raise ValueError(f'must not have "{characters}"; {_ALLOWED}')


def _split(text: str) -> tuple[str, str, str]:
    """(scheme in lower case, host, path)."""
    if text.startswith("/"):
        return "file", "", text
    match = _URL.fullmatch(text)
    if match is None:
        raise ValueError(f'"{text}" is neither an absolute path nor a URL; {_ALLOWED}')
    scheme, host, path = match[1].lower(), match[2], match[3]
    if "@" in host:
        raise ValueError("must not have a user or a password: credentials are the worker's, from its environment")
    if scheme == "file" and (host or not path):
        raise ValueError(f'a URL of a folder has three slashes, as in "file:///data/out"; {_ALLOWED}')
    if scheme != "file" and not _HOST.fullmatch(host):
        raise ValueError(f'"{host}" cannot be a bucket; {_ALLOWED}')
    if scheme != "file" and _PATTERN.search(path):
        raise ValueError('must not have "*", "[" or "]"; libraries of object stores take them for patterns')
    return scheme, host, path
