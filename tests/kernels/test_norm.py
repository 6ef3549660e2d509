"""Each kernel gives what its twin in PyTorch gives, but for the rounding of the last bit."""

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.kernels.rounding import assert_rounded_alike
from wanvideo.kernels import norm, norm_eight_bit
from wanvideo.kernels.backend import without_kernels
from wanvideo.kernels.eight_bit import FP8, INT8

B, L, D, FIRST = 2, 9, 320, 4


def stream(device: torch.device) -> tuple[Tensor, Tensor]:
    return torch.randn(B, L, D, device=device), torch.randn(B, L, D, device=device, dtype=torch.bfloat16)


def vectors(device: torch.device, rows: int) -> tuple[Tensor, ...]:
    """Views of one tensor, as the network has them."""
    return (torch.randn(B, rows, 6, D, device=device) * 0.3).unbind(2)


def assert_close(got: Tensor, right: Tensor) -> None:
    torch.testing.assert_close(got.float(), right.float(), rtol=2**-7, atol=1e-5)


@pytest.mark.parametrize("rows", [1, 2])
def test_norm_and_modulation(device: torch.device, rows: int) -> None:
    from wanvideo.kernels.norm_triton import residual_norm

    x, _ = stream(device)
    shift, scale, *_ = vectors(device, rows)
    with without_kernels():
        right = norm.norm_modulate(x, shift, scale, FIRST, eps=1e-6, dtype=torch.bfloat16)
    got = residual_norm(x, None, None, scale, shift, FIRST, eps=1e-6, dtype=torch.bfloat16, modulated=True)
    assert got.dtype == torch.bfloat16
    assert_close(got, right)


@pytest.mark.parametrize("rows", [1, 2])
def test_residual_norm_and_modulation(device: torch.device, rows: int) -> None:
    from wanvideo.kernels.norm_triton import residual_norm

    x, update = stream(device)
    shift, scale, *_ = vectors(device, rows)
    with without_kernels():
        sums, right = norm.residual_norm_modulate(x, update, shift, scale, FIRST, eps=1e-6, dtype=torch.bfloat16)
    got = residual_norm(x, update, None, scale, shift, FIRST, eps=1e-6, dtype=torch.bfloat16, modulated=True)
    assert torch.equal(x, sums), "the stream is not what it should be"
    assert_close(got, right)


@pytest.mark.parametrize("rows", [1, 2])
def test_gated_residual_and_norm(device: torch.device, rows: int) -> None:
    from wanvideo.kernels.norm_triton import residual_norm

    x, update = stream(device)
    gate, *_ = vectors(device, rows)
    weight, bias = torch.randn(2, D, device=device)
    with without_kernels():
        sums, right = norm.gated_residual_norm(x, update, gate, FIRST, weight, bias, eps=1e-6, dtype=torch.bfloat16)
    got = residual_norm(x, update, gate, weight, bias, FIRST, eps=1e-6, dtype=torch.bfloat16, modulated=False)
    torch.testing.assert_close(x, sums, rtol=1e-6, atol=1e-6)
    assert_close(got, right)


@pytest.mark.parametrize("rows", [1, 2])
def test_gated_residual(device: torch.device, rows: int) -> None:
    from wanvideo.kernels.norm_triton import add_gated

    x, update = stream(device)
    gate, *_ = vectors(device, rows)
    with without_kernels():
        right = norm.gated_residual(x, update, gate, FIRST)
    torch.testing.assert_close(add_gated(x, update, gate, FIRST), right, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", [FP8, INT8])
@pytest.mark.parametrize("rows", [1, 2])
def test_what_is_rounded_at_once_is_as_its_twin(device: torch.device, rows: int, kind: torch.dtype) -> None:
    from wanvideo.kernels.norm_triton import residual_norm_rounded

    x, update = stream(device)
    shift, scale, gate, *_ = vectors(device, rows)
    weight, bias = torch.randn(2, D, device=device)
    how: dict[str, Any] = {"eps": 1e-6, "kind": kind, "dtype": torch.bfloat16}
    with without_kernels():
        alone = norm_eight_bit.norm_modulate(x, shift, scale, FIRST, **how)
        sums, added = norm_eight_bit.residual_norm_modulate(x, update, shift, scale, FIRST, **how)
        all_sums, gated = norm_eight_bit.gated_residual_norm(sums, update, gate, FIRST, weight, bias, **how)
    vectors_of = ((None, None, scale, shift), (update, None, scale, shift), (update, gate, weight, bias))
    for args, right in zip(vectors_of, (alone, added, gated), strict=True):
        values, scales = residual_norm_rounded(x, *args, FIRST, eps=1e-6, kind=kind, modulated=args[2] is scale)
        torch.testing.assert_close(scales, right.scale)
        assert_rounded_alike(values, right.values)
    torch.testing.assert_close(x, all_sums, rtol=1e-6, atol=1e-6)


def test_the_first_frame_has_its_own_row() -> None:
    x, update = torch.zeros(1, 3, 2), torch.ones(1, 3, 2)
    gate = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    assert norm.gated_residual(x, update, gate, 1).tolist() == [[[1, 2], [3, 4], [3, 4]]]
