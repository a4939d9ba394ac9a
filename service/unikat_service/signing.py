"""Content Credentials of images on their way to callers: signed by threads, so that the event loop goes on meanwhile.

With a time stamp it takes as long as its authority takes to answer.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from google.rpc.code_pb2 import Code

from unikat.content_credentials.about import About, Training
from unikat.errors import Reason, UnikatError, bad_field, error_of, retry_later
from unikat.v1.studio_pb2 import CREDENTIALS_SIDECAR, Artwork, Credentials
from unikat_service.settings import Settings

if TYPE_CHECKING:
    from unikat.content_credentials.signing import Signer

log = logging.getLogger(__name__)

# More than cores: most of the time with a time stamp is waiting.
THREADS: Final = 8
# A caller waits for an authority so long (s), then comes back; c2pa itself gives up after 30 s.
SIGNED_WITHIN_S: Final = 10.0
RETRY_S: Final = 5.0


class Signing:
    """The key of a service, and the threads that sign with it."""

    def __init__(self, signer: Signer, training: Training) -> None:
        self._signer, self._training = signer, training
        self._pool = ThreadPoolExecutor(THREADS, "signing")

    @classmethod
    def of(cls, settings: Settings) -> Signing | None:
        """Raises OSError for a key and a certificate that cannot be used. None: the service has no key."""
        signer = settings.credentials.signer()
        return None if signer is None else cls(signer, settings.credentials.credentials_training)

    def close(self) -> None:
        """Begin nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def sign(self, artwork: bytes, model: str, where: Credentials) -> bytes:
        """A serialized Artwork of the model "name@version", with credentials in its file or beside it.

        Raises UnikatError (UNAVAILABLE): the time-stamp authority does not answer.
        """
        from unikat.content_credentials.signing import SigningError

        work = asyncio.get_running_loop().run_in_executor(self._pool, self._signed, artwork, model, where)
        try:
            return await asyncio.wait_for(work, SIGNED_WITHIN_S)
        except (SigningError, TimeoutError) as error:
            log.warning("Cannot sign: %s", str(error) or f"no answer within {SIGNED_WITHIN_S:g} s")
            text = "the image is drawn, but cannot be signed at the moment; send the request again to go on"
            raise error_of(retry_later(Code.UNAVAILABLE, text, Reason.SIGNER_FAILED, RETRY_S)) from error

    def _signed(self, data: bytes, model: str, where: Credentials) -> bytes:
        from unikat.content_credentials.signing import embed, sidecar

        artwork = Artwork.FromString(data)
        about = About.of(artwork, model, self._training)
        if where == CREDENTIALS_SIDECAR:
            artwork.credentials = sidecar(artwork.image, artwork.media_type, about, self._signer)
        else:
            artwork.image = embed(artwork.image, artwork.media_type, about, self._signer)
        return artwork.SerializeToString()


def no_signer() -> UnikatError:
    """FAILED_PRECONDITION: credentials were asked for, and the service has no key to sign them with."""
    text = (
        "this service has no key to sign with; whoever runs it sets --credentials-cert and --credentials-key "
        "(`unikat keys content` makes a pair to try it)"
    )
    return error_of(bad_field("credentials", text, Code.FAILED_PRECONDITION, Reason.NO_SIGNER))
