"""Content Credentials of images of a batch: whether they hold, and who signed them."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from unikat.cli.output import counted, stdout
from unikat.cli.problems import BAD_INPUT, Problem

if TYPE_CHECKING:
    from unikat.batches.storage_keys import StorageKeys


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


def read_signed(
    where: str, count: int, trust: Sequence[Path], keys: StorageKeys, progress: Callable[[int, int], None]
) -> Signed:
    """Read the credentials of images at random, each in a process of its own. Raises Problem, and as `pick` does."""
    try:
        from unikat.batches.layout import MEDIA_TYPES
        from unikat.batches.verify import pick
        from unikat.content_credentials.apart import read_apart
    except ImportError as error:
        raise Problem(f"not installed: {error.name}", "Install it: pip install 'unikat[credentials]'") from error
    try:
        anchors = b"\n".join(each.read_bytes() for each in trust)
    except OSError as error:
        raise Problem(f"--trust {error.filename}: {error.strerror}", code=BAD_INPUT) from error
    picked = pick(where, count, secrets.randbits(32), keys)
    signers: dict[str, bool] = {}
    wrong: dict[int, str] = {}
    for done, each in enumerate(picked):
        progress(done, len(picked))
        if not each.sidecar:
            wrong[each.index] = "it has no Content Credentials"
            continue
        report = read_apart(each.data, MEDIA_TYPES[each.image_format], each.sidecar, anchors)
        about = report.about
        if report.state != "valid":
            wrong[each.index] = "; ".join(failure.text for failure in report.failures) or report.state
        elif about is None or about.artwork_id != each.id:
            wrong[each.index] = "its Content Credentials are of another artwork"
        else:
            signers[report.signer] = report.is_trusted
    return Signed(len(picked), sorted(signers), sorted(name for name in signers if not signers[name]), wrong)
