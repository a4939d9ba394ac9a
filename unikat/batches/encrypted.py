"""A destination whose files are encrypted: what is written to it and read from it is what a plain one would hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from io import BytesIO
from typing import BinaryIO, Final

from unikat.batches.envelope import Altered, Envelope, seal_file, unseal_file
from unikat.batches.layout import CLAIM
from unikat.batches.storage import DamagedFile, DestinationRefused, Storage
from unikat.batches.storage_keys import NoKey, StorageKeys

SUFFIX: Final = ".enc"


class EncryptedStorage(Storage):
    """Files have the suffix ".enc"; `batch.json` has none, and is an `Envelope`. Used by one thread.

    Each file is encrypted and decrypted as a whole, in memory, so that nothing of it is used before all of it was
    authenticated. A shard's tar is there as a whole anyway, and of 1,000,000 images the manifest has about 50 MB.
    Memory for that is taken twice, and a file has 2 GiB at most.

    Raises, besides what all storages raise, NoKey, and DamagedFile for what was not encrypted under its name.
    """

    def __init__(self, inner: Storage, keys: StorageKeys, key_id: str = "") -> None:
        """`key_id`: of the key that the batch must have; "" for whichever it has, if nothing is created."""
        super().__init__(inner.url)
        self._inner = inner
        self._keys = keys
        self._key_id = key_id
        self._opened: tuple[Envelope, bytes] | None = None  # with its data key
        self._last = ("", b"")  # the file that was read in part, and its content: a tar is read image by image

    def stored(self, name: str) -> str:
        """See `Storage`."""
        return name if name == CLAIM or name.endswith(SUFFIX) else name + SUFFIX

    def url_of(self, name: str) -> str:
        return self._inner.url_of(self.stored(name))

    def write_many(self, files: Mapping[str, bytes]) -> None:
        self._inner.write_many({self.stored(name): self._sealed(name, data) for name, data in files.items()})

    def create(self, name: str, data: bytes) -> bool:
        """See `Storage`. `batch.json` brings the data key, which is therefore made once, whoever comes first."""
        if name != CLAIM:
            return self._inner.create(self.stored(name), self._sealed(name, data))
        envelope = Envelope.create(self._key_id, self._keys.key(self._key_id), data)
        return self._inner.create(CLAIM, envelope.to_bytes())

    @contextmanager
    def writing(self, name: str) -> Iterator[BinaryIO]:
        buffer = BytesIO()  # not a temporary file, which would not be encrypted
        yield buffer
        self._inner.write(self.stored(name), self._sealed(name, buffer.getvalue()))

    def read_many(self, names: Sequence[str]) -> list[bytes | None]:
        found = self._inner.read_many([self.stored(name) for name in names])
        return [None if data is None else self._content(name, data) for name, data in zip(names, found, strict=True)]

    def read_range(self, name: str, offset: int, size: int) -> bytes:
        if self._last[0] != name:
            self._last = name, self.read(name)
        return self._last[1][offset : offset + size]

    @contextmanager
    def reading(self, name: str) -> Iterator[BinaryIO]:
        yield BytesIO(self.read(name))

    def remove(self, names: Iterable[str]) -> None:
        self._inner.remove([self.stored(name) for name in names])

    def names(self, folder: str) -> list[str]:
        return self._inner.names(folder)

    def tidy(self, folder: str) -> None:
        self._inner.tidy(folder)

    def remove_folder(self, folder: str) -> None:
        self._inner.remove_folder(folder)

    def _reasons(self) -> AbstractContextManager[None]:
        return self._inner._reasons()

    def _sealed(self, name: str, data: bytes) -> bytes:
        envelope, data_key = self._known()
        if name == CLAIM:
            return envelope.with_details(data_key, data).to_bytes()
        return seal_file(data_key, name.removesuffix(SUFFIX), data)

    def _content(self, name: str, data: bytes) -> bytes:
        if name == CLAIM:
            return self._open(data)
        try:
            return unseal_file(self._known()[1], name.removesuffix(SUFFIX), data)
        except Altered as error:
            raise self._damaged(name) from error

    def _known(self) -> tuple[Envelope, bytes]:
        """The envelope and the data key. Raises FileNotFoundError if there is none."""
        if self._opened is None:
            self.read(CLAIM)
        assert self._opened is not None  # it was read
        return self._opened

    def _open(self, data: bytes) -> bytes:
        """What `batch.json` says to who has the key; the data key is known from then on."""
        try:
            envelope = Envelope.parse(data)
        except ValueError as error:
            raise DestinationRefused(
                f"{self.url}: holds {error}; choose another folder, or remove its files"
            ) from error
        if self._key_id not in ("", envelope.key_id):
            text = f'{self.url}: holds a batch that is encrypted with the key "{envelope.key_id}"'
            raise DestinationRefused(f"{text}, not {self._key_id}; choose another folder, or remove its files")
        try:
            self._opened = envelope, envelope.data_key(self._keys.key(envelope.key_id))
        except Altered as error:
            text = f'the storage key "{envelope.key_id}" here does not open {self.url_of(CLAIM)}'
            raise NoKey(f"{text}: it is another key of that name, or the file was changed") from error
        try:
            return unseal_file(self._opened[1], CLAIM, envelope.details)
        except Altered as error:
            raise self._damaged(CLAIM) from error

    def _damaged(self, name: str) -> DamagedFile:
        return DamagedFile(f"{self.url_of(name)} was changed, or is another file than the batch wrote by that name")
