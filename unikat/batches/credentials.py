"""Content Credentials of a batch's images: a tar file a shard, whose entries are named as the images are."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from PIL import Image

from unikat.artwork import Renderer
from unikat.batches.checks import Problem
from unikat.batches.layout import BLOCK, END_OF_TAR, MEDIA_TYPES, DrawnImage, Row, credentials_name, tar_header
from unikat.batches.spec import ShardJob
from unikat.batches.storage import DamagedFile, Storage
from unikat.content_credentials.about import About, Training
from unikat.identity import artwork_digest
from unikat.recipes.mix import Mix
from unikat.recipes.text import parse_mix, text_of
from unikat.watermark import payload_bytes

if TYPE_CHECKING:
    from unikat.content_credentials.signing import Signer

_SHARD: Final = re.compile(r"[0-9]{5,}")


def sign_shard(
    job: ShardJob, images: Sequence[DrawnImage], renderer: Renderer, signer: Signer, training: Training
) -> bytes:
    """The file of a shard; images that were refused have none. b"" if all were. Raises SigningError."""
    from unikat.content_credentials.signing import sidecar

    blocks = []
    for image in images:
        if not image.refused:
            about = _about(job, image, replace(renderer, encoder=job.encoder, mark=job.mark), training)
            signed = sidecar(image.data, MEDIA_TYPES[job.image_format], about, signer)
            blocks += [tar_header(_entry(image.index), len(signed)), signed, bytes(-len(signed) % BLOCK)]
    return b"".join([*blocks, END_OF_TAR]) if blocks else b""


def _entry(index: int) -> str:
    return f"{index:07}.c2pa"


def _about(job: ShardJob, image: DrawnImage, renderer: Renderer, training: Training) -> About:
    mix = parse_mix(image.recipe) if image.recipe else None
    latent = (job.seed, image.index) if mix is None else mix.latent
    seed, index = (0, 0) if isinstance(latent, Mix) else latent
    attempt = image.measured.attempt
    facts = job.digest, image.weights, seed, index, job.truncation, job.background
    digest = artwork_digest(*facts, attempt=attempt, mix=mix)
    width, height = Image.open(BytesIO(image.data)).size
    return About(
        model=job.model, model_digest=job.digest, artwork_id=image.id, seed=seed, index=index,
        recipe=text_of(latent) if isinstance(latent, Mix) else "",
        conditions={name: next(iter(of)) if len(of) == 1 else of for name, of in image.weights.items()},
        truncation=job.truncation, background=job.background, renderer=renderer, digest=digest,
        mark=digest[: payload_bytes(height, width)] if job.mark else b"", training=training, attempt=attempt,
    )  # fmt: skip


class CredentialsChecks:
    """Whether each image of the manifest has credentials; rows come in its order. `add` is given each problem."""

    def __init__(self, storage: Storage, add: Callable[[Problem], None]) -> None:
        self._storage = storage
        self._add = add
        self._name = ""  # of the file of the shard that rows are of at the moment
        self._indexes: list[int] = []

    def see(self, row: Row) -> str:
        """A row of an image that has a file; the name of the file that has its credentials."""
        name = _file_of(row["file"])
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
            there = {name for name, _ in _entries(self._storage.read(self._name))}
        except FileNotFoundError:
            self._add(Problem("missing", self._name, None, f"the file is missing, with {len(indexes):,} credentials"))
        except (DamagedFile, tarfile.TarError) as damaged:
            self._add(Problem("differs", self._name, None, f"not the credentials of its shard: {damaged}"))
        else:
            for index in indexes:
                if _entry(index) not in there:
                    self._add(Problem("missing", self._name, index, "the image's credentials are missing"))


def _file_of(file: str) -> str:
    """The file with the credentials of an image, by the file that the image is in."""
    found = _SHARD.search(file)
    assert found is not None  # rows were looked at
    return credentials_name(int(found[0]))


def read_credentials(storage: Storage, file: str, index: int) -> bytes:
    """The credentials of an image of a batch; b"" where there are none. Raises DamagedFile."""
    try:
        return dict(_entries(storage.read(_file_of(file)))).get(_entry(index), b"")
    except FileNotFoundError:
        return b""
    except tarfile.TarError as error:
        raise DamagedFile(f"{_file_of(file)}: {error}") from error


def _entries(data: bytes) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(fileobj=BytesIO(data), mode="r:") as tar:
        for member in tar:
            found = tar.extractfile(member)
            if found is not None:
                yield PurePosixPath(member.name).name, found.read()
