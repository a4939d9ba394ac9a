"""A program that reads credentials with little memory: `apart.py` starts it, and writes to its stdin.

The argument is the number of bytes that reading may take. Prints what `stored` gives. It is started for each picture,
so it imports nothing that reading does not need.
"""

from __future__ import annotations

import json
import sys
from functools import lru_cache
from io import BytesIO
from typing import Any, Final

import c2pa

from unikat.memory_limit import limit_memory

WITHOUT: Final = "without"  # c2pa has read no manifest: why

# What a certificate must be for: mail, documents, claims of C2PA, time stamps. c2pa's default is the first alone.
_USAGES: Final = "1.3.6.1.5.5.7.3.4\n1.3.6.1.5.5.7.3.36\n1.3.6.1.4.1.62558.2.1\n1.3.6.1.5.5.7.3.8\n"


def stored(data: bytes, media_type: str, sidecar: bytes | None, anchors: bytes) -> str:
    """What c2pa reads, for `report_of`: JSON, of c2pa's manifest store or with the one key "without"."""
    try:
        with c2pa.Reader(media_type, BytesIO(data), sidecar, context=_context(anchors)) as reader:
            text: str = reader.json()
            return text
    except c2pa.C2paError.ManifestNotFound:
        return json.dumps({WITHOUT: ""})
    except c2pa.C2paError.RemoteManifest:
        return json.dumps({WITHOUT: "the file points to credentials elsewhere"})
    except c2pa.C2paError as error:
        return json.dumps({WITHOUT: None, "reason": str(error)})


@lru_cache(maxsize=16)
def _context(anchors: bytes) -> c2pa.Context:
    """What all readers with these roots share."""
    settings: dict[str, Any] = {
        "version": 1,
        "verify": {"verify_trust": True, "remote_manifest_fetch": False, "ocsp_fetch": False},
        "trust": {"trust_config": _USAGES},
    }
    if anchors:
        settings["trust"]["trust_anchors"] = anchors.decode()
    return c2pa.Context.from_dict(settings)


def main() -> None:
    """A line of JSON, the media type and the lengths of the parts (null: none), then the parts."""
    source = sys.stdin.buffer
    media_type, *sizes = json.loads(source.readline())
    data, sidecar, anchors = (None if size is None else source.read(size) for size in sizes)
    limit_memory(int(sys.argv[1]))
    print(stored(data or b"", media_type, sidecar, anchors or b""))


if __name__ == "__main__":
    main()
