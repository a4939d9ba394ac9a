"""What is shown of a generator's output: clamped, and over a background."""

from __future__ import annotations

import pytest
import torch

from unikat_training.layers import clamp, over


def test_what_is_clamped_keeps_its_gradient_up_to_a_margin() -> None:
    x = torch.tensor([-1.4, -0.5, 0.5, 1.4], requires_grad=True)
    clamped = clamp(x)
    torch.autograd.backward((torch.tensor([1.0, -2.0, 3.0, -4.0]) * clamped).sum())
    assert clamped.tolist() == [-1, -0.5, 0.5, 1]
    assert x.grad is not None
    assert x.grad.tolist() == [1, -2, 3, -4]


def test_beyond_the_margin_only_what_leads_back_has_a_gradient() -> None:
    x = torch.tensor([-2.0, -2.0, 2.0, 2.0], requires_grad=True)
    torch.autograd.backward((torch.tensor([1.0, -1.0, 1.0, -1.0]) * clamp(x)).sum())
    assert x.grad is not None
    assert x.grad.tolist() == [0, -1, 1, 0]  # a step of gradient descent subtracts it


def test_a_drawing_lies_over_its_background() -> None:
    drawing = torch.tensor([0.5, -0.5, 1.0]).reshape(1, 3, 1, 1).expand(3, 3, 2, 2)
    alpha = torch.tensor([-1.0, 1.0, 0.0]).reshape(3, 1, 1, 1).expand(3, 1, 2, 2)
    ground = torch.rand(3, 3, 1, 1) * 2 - 1
    seen = over(torch.cat([drawing, alpha], dim=1), ground)
    assert torch.equal(seen[0], ground[0].expand(3, 2, 2))
    assert torch.equal(seen[1], drawing[1])
    torch.testing.assert_close(seen[2], (drawing[2] + ground[2]) / 2)
    assert torch.equal(over(drawing, None), drawing)
    with pytest.raises(TypeError, match="background"):
        over(torch.zeros(1, 4, 2, 2), None)
