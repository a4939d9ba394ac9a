"""Settings of a program that signs Content Credentials."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from unikat.content_credentials.about import Training
from unikat.listening import together
from unikat.settings import setting

if TYPE_CHECKING:
    from unikat.content_credentials.signing import Signer


@dataclass(frozen=True)
class CredentialsSettings:
    """Whose credentials they are, and what they say of training."""

    credentials_cert: Path | None = setting(
        None, "Certificate chain that signs Content Credentials (PEM; read at the start).", exists=True
    )
    credentials_key: Path | None = setting(None, "Private key of that certificate (PEM).", exists=True)
    credentials_time_stamp_url: str = setting(
        "", "RFC 3161 authority that signs the time of each image with credentials (URL; none: no time is stated)."
    )
    credentials_training: Training = setting(
        Training.NOT_ALLOWED,
        "What credentials say of mining images and training with them (allowed, notAllowed, constrained: not without "
        "asking).",
    )

    def __post_init__(self) -> None:
        """Raises typer.BadParameter for a certificate without its key, or the other way round."""
        together(credentials_cert=self.credentials_cert, credentials_key=self.credentials_key)

    def signer(self) -> Signer | None:
        """None without a key. Raises OSError for a key and a certificate that cannot be used."""
        if self.credentials_cert is None or self.credentials_key is None:
            return None
        try:
            from unikat.content_credentials.signing import KeyFileSigner  # a native library, of an extra

            return KeyFileSigner(self.credentials_cert, self.credentials_key, self.credentials_time_stamp_url)
        except ImportError as error:
            raise OSError(f"--credentials-cert needs {error.name}: pip install 'unikat[credentials]'") from error
        except ValueError as error:
            raise OSError(f"--credentials-cert, --credentials-key: {error}") from error


NO_CREDENTIALS: Final = CredentialsSettings()
