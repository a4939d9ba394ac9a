"""Where and how this worker may write batches, and the keys that it can encrypt them and sign their images with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from unikat.artwork import Renderer
from unikat.batches.destination import open_prefixes
from unikat.batches.storage import DestinationError, Storage
from unikat.batches.storage_keys import NoKey, StorageKeys
from unikat.content_credentials.about import Training
from unikat_worker.active import ActiveShard, OfBatch
from unikat_worker.settings import Settings

if TYPE_CHECKING:
    from unikat.content_credentials.signing import Signer


@dataclass(frozen=True)
class Places:
    """`prefixes`: below them files may be written. `writers` and `write_timeout_s` are as in `Settings`."""

    prefixes: tuple[str, ...]
    keys: StorageKeys
    writers: int
    write_timeout_s: float
    signer: Signer | None = None
    training: Training = Training.NOT_ALLOWED

    @classmethod
    def of(cls, settings: Settings) -> Places:
        """Raises ValueError naming the setting, also for a file that cannot be read."""
        try:
            prefixes = open_prefixes(settings.destinations)
        except ValueError as error:
            raise ValueError(f"--destinations: {error}") from error
        try:
            keys = StorageKeys(settings.storage_keys)
        except (OSError, ValueError) as error:
            raise ValueError(f"--storage-keys: {error}") from error
        try:
            signer = settings.credentials.signer()
        except OSError as error:
            raise ValueError(str(error)) from error
        training = settings.credentials.credentials_training
        return cls(prefixes, keys, settings.writers, settings.write_timeout_s, signer, training)

    def check(self, item: OfBatch) -> None:
        """Raise DestinationRefused, which names the setting, if nothing of an item can be written here."""
        Storage.check_open(item.destination, self.prefixes)
        if item.encryption_key:
            self.keys.key(item.encryption_key)
        if isinstance(item, ActiveShard) and item.job.credentials and self.signer is None:
            raise NoKey("this worker has no key to sign Content Credentials with (--credentials-cert)")

    def open(self, item: OfBatch) -> Storage:
        """The destination of an item, which hears whenever something of it begins to be written."""
        storage = Storage.open(item.destination, self.prefixes)
        storage.touch = item.touch
        if not item.encryption_key:
            return storage
        from unikat.batches.encrypted import EncryptedStorage  # with `cryptography`, which other batches do not need

        return EncryptedStorage(storage, self.keys, item.encryption_key)

    def sign(self, item: ActiveShard, renderer: Renderer) -> bytes:
        """The file with a shard's Content Credentials, b"" if none were asked for.

        Raises DestinationError where the time-stamp authority does not answer.
        """
        if self.signer is None or not item.job.credentials:
            return b""
        from unikat.batches.credentials import shard_file, sign_shard
        from unikat.content_credentials.signing import SigningError

        try:
            for _ in sign_shard(item.job, item.drawn, renderer, self.signer, self.training, item.signed):
                item.touch()  # with a time stamp, each takes as long as its authority
        except SigningError as error:
            raise DestinationError(f"Content Credentials cannot be signed: {error}") from error
        return shard_file(item.signed)
