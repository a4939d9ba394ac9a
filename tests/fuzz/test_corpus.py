"""Every decoder gets the corpus, and some hundred mutations of it, in every run of the tests."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Final

import psutil
import pytest

from tests.fuzz.targets import TARGETS

CORPUS: Final = Path(__file__).parent / "corpus"
MUTATIONS: Final = 300
WORDS: Final = (b'"', b"{", b"]", b"\\ud800", b"NaN", b"1e999", b"-1", b"null", b"\xff" * 4, b"\0" * 8, b"../", b"=")


def mutated(content: bytes, chance: random.Random) -> bytes:
    """Some bytes changed, left out, doubled or put in."""
    changed = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(changed) + 1)
        match chance.randrange(4):
            case 0 if at < len(changed):
                changed[at] = chance.randrange(256)
            case 1:
                del changed[at : at + chance.randint(1, 16)]
            case 2:
                changed[at:at] = changed[at : at + chance.randint(1, 64)]
            case _:
                changed[at:at] = chance.choice(WORDS)
    return bytes(changed)


@pytest.mark.parametrize("name", TARGETS)
def test_a_decoder_raises_only_what_it_documents(name: str) -> None:
    inputs = [file.read_bytes() for file in sorted((CORPUS / name).iterdir())]
    assert inputs
    chance = random.Random(name)  # the same inputs in every run
    process = psutil.Process()
    target = TARGETS[name]
    target(inputs[0])
    before = process.memory_info().rss
    for content in [b"", *inputs, *(mutated(chance.choice(inputs), chance) for _ in range(MUTATIONS))]:
        begun = time.thread_time()
        target(content)
        assert time.thread_time() - begun < 1
    assert process.memory_info().rss - before < 200 * 2**20
