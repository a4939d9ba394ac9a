"""Content Credentials of a batch's images: a tar file a shard, whose entries are named as the images are."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from io import BytesIO
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from PIL import Image

from unikat.artwork import Renderer
from unikat.batches.checks import Problem
from unikat.batches.layout import BLOCK, END_OF_TAR, MEDIA_TYPES, DrawnImage, Row, credentials_name, tar_header
from unikat.batches.spec import ShardJob
from unikat.batches.storage import DamagedFile, Storage
from unikat.conditions import to_messages
from unikat.content_credentials.about import About, Training
from unikat.identity import artwork_digest
from unikat.recipes.messages import recipe_message
from unikat.recipes.text import parse_mix
from unikat.v1.studio_pb2 import Artwork

if TYPE_CHECKING:
    from unikat.content_credentials.signing import Signer

_SHARD: Final = re.compile(r"[0-9]{5,}")


def sign_shard(
    job: ShardJob,
    images: Sequence[DrawnImage],
    renderer: Renderer,
    signer: Signer,
    training: Training,
    signed: dict[int, bytes],
) -> Iterator[int]:
    """Sign the images of a shard into `signed`, by their indexes, but for those that are there; yields each index.

    Images that were refused have none. Raises SigningError; what is signed by then stays.
    """
    from unikat.content_credentials.signing import sidecar

    for image in images:
        if not image.refused and image.index not in signed:
            about = _about(job, image, replace(renderer, encoder=job.encoder, mark=job.mark), training)
            signed[image.index] = sidecar(image.data, MEDIA_TYPES[job.image_format], about, signer)
            yield image.index


def shard_file(signed: Mapping[int, bytes]) -> bytes:
    """The file of a shard, of credentials by their images' indexes; b"" if there are none."""
    blocks = []
    for index, data in sorted(signed.items()):
        blocks += [tar_header(_entry(index), len(data)), data, bytes(-len(data) % BLOCK)]
    return b"".join([*blocks, END_OF_TAR]) if blocks else b""


def _entry(index: int) -> str:
    return f"{index:07}.c2pa"


def _about(job: ShardJob, image: DrawnImage, renderer: Renderer, training: Training) -> About:
    """What the service says of an image of a call."""
    mix, attempt = parse_mix(image.recipe) if image.recipe else None, image.measured.attempt
    facts = job.digest, image.weights, job.seed, image.index, job.truncation, job.background
    width, height = Image.open(BytesIO(image.data)).size
    artwork = Artwork(
        id=image.id, model_digest=job.digest, seed=job.seed, index=image.index, conditions=to_messages(image.weights),
        truncation=job.truncation, background=job.background, width=width, height=height,
        digest=artwork_digest(*facts, attempt=attempt, mix=mix), renderer=asdict(renderer),
        recipe=None if mix is None else recipe_message(mix), originality={"attempt": attempt},
    )  # fmt: skip
    return About.of(artwork, job.model, training)


class CredentialsChecks:
    """Whether each image of the manifest has credentials; rows come in its order. `add` is given each problem."""

    def __init__(self, storage: Storage, add: Callable[[Problem], None]) -> None:
        self._storage = storage
        self._add = add
        self._name = ""  # of the file of the shard that rows are of at the moment
        self._indexes: list[int] = []

    def see(self, row: Row) -> str:
        """A row of an image that has a file; the name of the file that has its credentials."""
        name = file_of(row["file"])
        if name != self._name:
            self.finish()
            self._name = name
        self._indexes.append(row["index"])
        return name

    def finish(self) -> None:
        """Compare what was seen of a shard with its file."""
        indexes, self._indexes = self._indexes, []
        if not indexes:
            return
        try:
            there = {name for name, _ in _members(self._storage.read(self._name))}
        except FileNotFoundError:
            self._add(Problem("missing", self._name, None, f"the file is missing, with {len(indexes):,} credentials"))
        except (DamagedFile, tarfile.TarError) as damaged:
            self._add(Problem("differs", self._name, None, f"not the credentials of its shard: {damaged}"))
        else:
            for index in indexes:
                if _entry(index) not in there:
                    self._add(Problem("missing", self._name, index, "the image's credentials are missing"))


def file_of(file: str) -> str:
    """The file with the credentials of an image, by the file that the image is in."""
    found = _SHARD.search(file)
    assert found is not None  # rows were looked at
    return credentials_name(int(found[0]))


def read_credentials(storage: Storage, name: str, indexes: Iterable[int]) -> dict[int, bytes]:
    """Credentials by their images' indexes, from a shard's file of this name; of those that have any.

    Raises DamagedFile.
    """
    wanted = {_entry(index): index for index in indexes}
    try:
        return {wanted[entry]: read() for entry, read in _members(storage.read(name)) if entry in wanted}
    except FileNotFoundError:
        return {}
    except tarfile.TarError as error:
        raise DamagedFile(f"{name}: {error}") from error


def _members(data: bytes) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Names of the files in a tar, and what reads them; not of those that are larger than the tar they are in."""
    with tarfile.open(fileobj=BytesIO(data), mode="r:") as tar:
        for member in tar:
            found = tar.extractfile(member) if member.isreg() and not member.issparse() else None
            if found is not None:
                yield PurePosixPath(member.name).name, found.read
