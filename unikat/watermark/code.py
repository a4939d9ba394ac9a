"""The error-correcting code of a mark: a check byte and the tail-biting convolutional code of LTE's broadcast channel.

Constraint length 7, rate 1/3, generators 133, 171, 165 octal (3GPP TS 36.212, 5.1.3.1); decoded with soft values by
Viterbi's algorithm around the circle.
"""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

RATE: Final = 3
CHECK_BITS: Final = 8
MEMORY: Final = 6
STATES: Final = 1 << MEMORY
GENERATORS: Final = (0o133, 0o171, 0o165)
_LEAD: Final = 24  # steps before and behind the circle, after which the state is forgotten (4 times the memory)


def word(payload: bytes, bits: int) -> NDArray[np.uint8]:
    """(bits,): the code word of a payload with its check; of an empty one, zeros."""
    one: NDArray[np.uint8] = coded([payload], bits)[0]
    return one


def coded(payloads: Sequence[bytes], bits: int) -> NDArray[np.uint8]:
    """(N, bits): the code words of payloads of one length."""
    if not payloads[0]:
        return np.zeros((len(payloads), bits), np.uint8)
    checked = b"".join(payload + _check(payload) for payload in payloads)
    return convolve(np.unpackbits(np.frombuffer(checked, np.uint8).reshape(len(payloads), -1), axis=1))


def convolve(words: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(N, bits) to (N, RATE · bits): the state begins as it ends, so there is no tail."""
    sums = words @ _taps(words.shape[1])  # of up to MEMORY + 1 bits, of which the lowest is their xor
    return sums & np.uint8(1)


@lru_cache
def _taps(bits: int) -> NDArray[np.uint8]:
    """(bits, RATE · bits): 1 where a bit of a word is in one of the code."""
    taps = np.zeros((bits, bits, RATE), np.uint8)
    for at in range(bits):
        for output, generator in enumerate(GENERATORS):
            for delay in range(MEMORY + 1):
                taps[at - delay, at, output] = generator >> (MEMORY - delay) & 1
    taps.setflags(write=False)
    return taps.reshape(bits, -1)


@lru_cache
def _trellis() -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """States (newest bit highest) before each state (2, STATES); outputs of these branches, ±1 (2, STATES, RATE)."""
    state = np.arange(STATES)
    before = np.stack([(state << 1 & STATES - 1) | oldest for oldest in (0, 1)])
    register = (state >> MEMORY - 1 << MEMORY) | before  # newest bit, then the predecessor
    parity = [[[bin(int(r) & g).count("1") & 1 for g in GENERATORS] for r in row] for row in register]
    return before, np.array(parity, np.float32) * 2 - 1


def decode(soft: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(N, RATE · bits) soft values, positive for 1, to (N, bits): the most likely words."""
    count = len(soft)
    steps = soft.reshape(count, -1, RATE)
    length = steps.shape[1]
    around = np.arange(-_LEAD, length + _LEAD) % length
    before, outputs = _trellis()
    table = outputs.reshape(2 * STATES, RATE).T
    gains = (steps.reshape(-1, RATE) @ table).reshape(count, length, 2, STATES)
    metric = np.zeros((count, STATES), np.float32)
    choices = np.empty((len(around), count, STATES), np.bool_)
    for step, at in enumerate(around):
        zero = metric[:, before[0]] + gains[:, at, 0]
        one = metric[:, before[1]] + gains[:, at, 1]
        choices[step] = one > zero
        metric = np.maximum(zero, one)
    state = metric.argmax(axis=1)
    words = np.empty((count, length), np.uint8)
    rows = np.arange(count)
    for step in range(len(around) - 1, _LEAD - 1, -1):
        if step < _LEAD + length:
            words[:, step - _LEAD] = state >> MEMORY - 1
        state = (state << 1 & STATES - 1) | choices[step, rows, state]
    return words


def payloads(words: NDArray[np.uint8]) -> list[bytes | None]:
    """The payload of each word (N, bits) whose check is right, else None."""
    found: list[bytes | None] = []
    for data in (row.tobytes() for row in np.packbits(words, axis=1)):
        payload, check = data[:-1], data[-1:]
        found.append(payload if _check(payload) == check else None)
    return found


def _check(payload: bytes) -> bytes:
    """The low byte of CRC-16 (CCITT, start 0xFFFF): tells a wrong word of a damaged mark from the right one."""
    return binascii.crc_hqx(payload, 0xFFFF).to_bytes(2, "big")[1:]
