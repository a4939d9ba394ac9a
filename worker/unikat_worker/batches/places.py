"""Where and how this worker may write batches, and the keys that it can encrypt them with."""

from __future__ import annotations

from dataclasses import dataclass

from unikat.batches.destination import open_prefixes
from unikat.batches.storage import Storage
from unikat.batches.storage_keys import StorageKeys
from unikat_worker.active import OfBatch
from unikat_worker.settings import Settings


@dataclass(frozen=True)
class Places:
    """`prefixes`: below them files may be written. `writers` and `write_timeout_s` are as in `Settings`."""

    prefixes: tuple[str, ...]
    keys: StorageKeys
    writers: int
    write_timeout_s: float

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
        return cls(prefixes, keys, settings.writers, settings.write_timeout_s)

    def check(self, item: OfBatch) -> None:
        """Raise DestinationRefused, which names the setting, if nothing of an item can be written here."""
        Storage.check_open(item.destination, self.prefixes)
        if item.encryption_key:
            self.keys.key(item.encryption_key)

    def open(self, item: OfBatch) -> Storage:
        """The destination of an item, which hears whenever something of it begins to be written."""
        storage = Storage.open(item.destination, self.prefixes)
        storage.touch = item.touch
        if not item.encryption_key:
            return storage
        from unikat.batches.encrypted import EncryptedStorage  # with `cryptography`, which other batches do not need

        return EncryptedStorage(storage, self.keys, item.encryption_key)
