"""Keys of owners: Ed25519, whose seeds lie in files as other keys do (`unikat.key_file`)."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def public_of(seed: bytes) -> bytes:
    """The public key (32 bytes) of a seed (32 bytes)."""
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def sign(seed: bytes, text: bytes) -> bytes:
    """The signature (64 bytes) of a text."""
    return Ed25519PrivateKey.from_private_bytes(seed).sign(text)
