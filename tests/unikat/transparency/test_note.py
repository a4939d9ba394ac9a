"""Signed notes and checkpoints: Go's vectors, and what is no note."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unikat.transparency import Checkpoint, Note, NoteError, SignatureError, SigningKey, TransparencyError, VerifierKey
from unikat.transparency.merkle import EMPTY_ROOT

# Of golang.org/x/mod/sumdb/note, where the format comes from.
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PETERS_SEED = b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
SIGNATURE = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
SIGNED = f"{TEXT}\n— PeterNeumann {SIGNATURE}\n"

ORIGIN = "registry.example/unikat"
KEY = SigningKey(ORIGIN, bytes(range(32)))
OTHER = SigningKey(ORIGIN, bytes(32))
ROOT = bytes(range(32))
CHECKPOINT = Checkpoint(ORIGIN, 7, ROOT).sign([KEY])


def test_the_known_note_is_read_and_written() -> None:
    key = SigningKey("PeterNeumann", PETERS_SEED)
    assert str(key.verifier) == PETER
    assert VerifierKey.parse(PETER) == key.verifier
    assert f"{TEXT}\n{key.sign(TEXT)}" == SIGNED
    note = Note.parse(SIGNED)
    assert note.text == TEXT
    note.verify(key.verifier)


def test_a_key_is_not_shown_by_accident() -> None:
    assert str(list(KEY.seed)) not in repr(KEY)
    assert "seed" not in repr(KEY)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", '"name+id'),
        ("a+b", '"name+id'),
        ("PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "id is c74f20a3, not c74f20a4"),
        ("PeterNeumann+c74f20a3+ARpc2Qc", "no base64"),
        ("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10T", "no base64"),
        ("PeterNeumann+c74f20a3+AhpcZQ==", "not of type Ed25519"),
        ("PeterNeumann+c74f20a3+ARpc", "has 32 bytes, not 2"),
        ("Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "a name has"),
    ],
)
def test_what_is_no_verifier_key_is_refused(text: str, said: str) -> None:
    with pytest.raises(NoteError, match=said.replace("+", r"\+")):
        VerifierKey.parse(text)


def test_a_seed_has_its_length_and_a_key_its_name() -> None:
    with pytest.raises(NoteError, match="has 32 bytes, not 31"):
        SigningKey(ORIGIN, bytes(31))
    for name in ("", "a b", "a+b", "a\nb"):
        with pytest.raises(NoteError, match="a name has"):
            SigningKey(name, bytes(32))


def test_a_checkpoint_says_origin_size_and_root() -> None:
    assert CHECKPOINT.split("\n")[:4] == [ORIGIN, "7", b64encode(ROOT).decode(), ""]
    assert Checkpoint.open(CHECKPOINT, KEY.verifier) == Checkpoint(ORIGIN, 7, ROOT)


def test_both_keys_of_a_rotation_sign() -> None:
    signed = Checkpoint(ORIGIN, 7, ROOT).sign([KEY, OTHER])
    for key in (KEY, OTHER):
        assert Checkpoint.open(signed, key.verifier).size == 7
    with pytest.raises(SignatureError, match=r"no signature is of registry\.example/unikat"):
        Checkpoint.open(CHECKPOINT, OTHER.verifier)


def test_a_line_that_extends_a_checkpoint_is_signed_and_left_aside() -> None:
    text = f"{Checkpoint(ORIGIN, 7, ROOT).text}something\n"
    assert Checkpoint.open(f"{text}\n{KEY.sign(text)}", KEY.verifier).size == 7


def test_the_key_of_another_log_opens_no_checkpoint() -> None:
    text = Checkpoint("elsewhere.example", 7, ROOT).text
    with pytest.raises(NoteError, match=r"of the log elsewhere.example, and the key of registry.example"):
        Checkpoint.open(f"{text}\n{KEY.sign(text)}", KEY.verifier)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{ORIGIN}\n7\n", "three lines"),
        (f"{ORIGIN}\n07\n{b64encode(ROOT).decode()}\n", "size is a decimal number"),
        (f"{ORIGIN}\n-7\n{b64encode(ROOT).decode()}\n", "size is a decimal number"),
        (f"{ORIGIN}\n٧\n{b64encode(ROOT).decode()}\n", "size is a decimal number"),
        (f"{ORIGIN}\n7\nAAAA\n", "base64 of 32 bytes"),
        (f"{ORIGIN}\n0\n{b64encode(ROOT).decode()}\n", "not that of a log without entries"),
        (f"a b\n7\n{b64encode(ROOT).decode()}\n", "a name has"),
    ],
)
def test_a_signed_text_that_is_no_checkpoint_is_refused(text: str, said: str) -> None:
    with pytest.raises(NoteError, match=said):
        Checkpoint.open(f"{text}\n{KEY.sign(text)}", KEY.verifier)


def test_the_checkpoint_of_an_empty_log() -> None:
    assert Checkpoint.open(Checkpoint(ORIGIN, 0, EMPTY_ROOT).sign([KEY]), KEY.verifier).root == EMPTY_ROOT


@pytest.mark.parametrize(
    ("signed", "said"),
    [
        ("", "a text, a blank line"),
        (TEXT, "a text, a blank line"),
        (SIGNED[:-1], "a text, a blank line"),
        (f"{TEXT}\n- PeterNeumann AAAAAAAA\n", "line of a signature"),
        (f"{TEXT}\n— PeterNeumann\n", "line of a signature"),
        (f"{TEXT}\n— PeterNeumann AAAA\n", "more bytes than"),
        (f"{TEXT}\n— PeterNeumann AAAAAA\n", "no base64"),
        (f"{TEXT}\t\n{SIGNED[len(TEXT) + 1 :]}", "a text, a blank line"),
        (f"\t{SIGNED}", "no control characters"),
        (f"{TEXT}\n" + "— a AAAAAAAA\n" * 101, "more than 100 signatures"),
    ],
)
def test_what_is_no_note_is_refused(signed: str, said: str) -> None:
    with pytest.raises(NoteError, match=said):
        Note.parse(signed)


@settings(deadline=None)
@given(st.integers(0, len(CHECKPOINT) - 1), st.characters(codec="utf-8"))
def test_a_changed_character_is_found(place: int, character: str) -> None:
    changed = CHECKPOINT[:place] + character + CHECKPOINT[place + 1 :]
    if changed != CHECKPOINT:
        with pytest.raises(TransparencyError):
            Checkpoint.open(changed, KEY.verifier)


@settings(deadline=None)
@given(st.one_of(st.text(), st.text(alphabet="a\n— AB/=+1")))
def test_any_text_is_read_or_refused(text: str) -> None:
    reads: list[Any] = [Note.parse, Checkpoint.parse, VerifierKey.parse]
    for read in reads:
        try:
            read(text)
        except NoteError:
            continue
