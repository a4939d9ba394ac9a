from __future__ import annotations

import numpy as np
import pytest

from benchmarks.provenance.attacks import ATTACKS
from benchmarks.provenance.marks import Unikat, payload
from benchmarks.provenance.pictures import pictures
from benchmarks.provenance.quality import growth, psnr
from benchmarks.provenance.tables import auc, withstood
from benchmarks.provenance.unmarked import unmarked
from unikat.watermark import Detection


def test_a_table_tells_what_survives_from_what_does_not() -> None:
    plain = pictures("portraits", 64, 1)
    marked = Unikat().embed(plain)
    assert 36 < psnr(plain, marked) < 45
    assert growth(plain, marked).startswith("+")
    survived = withstood(plain, marked, ATTACKS["JPEG 75"])
    assert (survived.read, survived.matched, survived.bits, survived.auc) == (1, 1, 1, 1)
    gone = withstood(plain, marked, lambda picture: np.zeros_like(picture))
    assert (gone.read, gone.matched, gone.bits, gone.auc) == (0, 0, 0.5, 0.5)


def test_pictures_without_a_mark_are_not_taken_for_marked_ones() -> None:
    plain = pictures("emoji", 64, 2)
    assert withstood(plain, plain, ATTACKS["none"]).read == 0


def test_the_auc_is_the_share_of_pairs_in_order() -> None:
    marked, others = ([Detection(None, chance) for chance in chances] for chances in ((1e-9, 0.5), (0.5, 1.0)))
    assert auc(marked, others) == (1 + 1 + 0.5 + 1) / 4


def test_all_libraries_carry_as_many_bits() -> None:
    assert [len(payload(0, size)) for size in (32, 64, 128, 256)] == [0, 32, 32, 64]


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_return_pictures(attack: str) -> None:
    (picture,) = unmarked("emoji", 1)
    damaged = ATTACKS[attack](picture)
    assert damaged.dtype == np.uint8
    assert damaged.shape[2] == 3
    assert damaged.shape[0] >= 32
