"""Content Credentials of images of a batch: whether they hold, and who signed them."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from unikat.cli.output import counted, stdout
from unikat.cli.problems import Problem

if TYPE_CHECKING:
    from unikat.batches.storage import Storage
    from unikat.batches.storage_keys import StorageKeys
    from unikat.batches.verify import Picked
    from unikat.content_credentials.reading import Report


@dataclass(frozen=True)
class Signed:
    """Of `count` images: `signers`, `untrusted` of them whom none of the roots stands for, and what is `wrong` by the
    image's index.
    """

    count: int
    signers: list[str]
    untrusted: list[str]
    wrong: dict[int, str]

    def print(self) -> None:
        """In words."""
        for index, why in self.wrong.items():
            Problem(f"image {index}: {why}").show()
        hold = self.count - len(self.wrong)
        by = f", signed by {', '.join(self.signers)}" if self.signers else ""
        doubt = f" (of no authority that you trust: {', '.join(self.untrusted)})" if self.untrusted else ""
        stdout().print(Text(f"Content Credentials of {counted(hold, 'image')} of {self.count} hold{by}{doubt}."))


def roots(trust: Sequence[Path]) -> bytes:
    """The roots that are trusted (PEM). Raises Problem, also where what reads credentials is not installed."""
    try:
        from unikat.cli.credentials import read_anchors

        return read_anchors(trust)
    except ImportError as error:
        raise Problem(f"not installed: {error.name}", "Install it: pip install 'unikat[credentials]'") from error


def read_signed(
    where: str, count: int, anchors: bytes, keys: StorageKeys, progress: Callable[[int, int], None]
) -> Signed:
    """Read the credentials of images at random, each in a process of its own, one a core. Raises as `pick` does."""
    from unikat.batches.layout import MEDIA_TYPES
    from unikat.batches.verify import pick, storage_of
    from unikat.content_credentials.apart import read_apart

    picked = pick(where, count, secrets.randbits(32), keys)
    sidecars, wrong = _sidecars(storage_of(where, keys)[0], picked)
    wrong |= {
        each.index: "it has no Content Credentials"
        for each in picked
        if each.index not in sidecars and each.index not in wrong
    }
    signed = [each for each in picked if each.index not in wrong]

    def report(each: Picked) -> Report:
        return read_apart(each.data, MEDIA_TYPES[each.image_format], sidecars[each.index], anchors)

    signers: dict[str, bool] = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done, (each, said) in enumerate(zip(signed, pool.map(report, signed), strict=True)):
            progress(done, len(signed))
            if said.state != "valid":
                wrong[each.index] = "; ".join(failure.text for failure in said.failures) or said.state
            elif said.about is None or said.about.artwork_id != each.id:
                wrong[each.index] = "its Content Credentials are of another artwork"
            else:
                signers[said.signer] = said.is_trusted
    untrusted = sorted(name for name in signers if not signers[name])
    return Signed(len(picked), sorted(signers), untrusted, dict(sorted(wrong.items())))


def _sidecars(storage: Storage, picked: Sequence[Picked]) -> tuple[dict[int, bytes], dict[int, str]]:
    """Credentials of images by their indexes, and why those of others cannot be read; each shard's file once."""
    from unikat.batches.credentials import file_of, read_credentials
    from unikat.batches.storage import DamagedFile

    found: dict[int, bytes] = {}
    wrong: dict[int, str] = {}
    for name, of_shard in groupby(picked, key=lambda each: file_of(each.file)):
        indexes = [each.index for each in of_shard]
        try:
            found |= read_credentials(storage, name, indexes)
        except DamagedFile as damaged:
            wrong |= dict.fromkeys(indexes, f"its Content Credentials cannot be read: {damaged}")
    return found, wrong
