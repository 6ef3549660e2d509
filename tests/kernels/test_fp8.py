import pytest
import torch
import torch.nn.functional as F

from wanvideo.kernels.backend import without_kernels
from wanvideo.kernels.fp8 import multiply, quantize_rows


@pytest.mark.parametrize("gelu", [False, True])
def test_the_kernel_rounds_as_its_twin_does(device: torch.device, gelu: bool) -> None:
    from wanvideo.kernels.fp8_triton import quantize_rows_triton

    x = torch.randn(7, 96, device=device, dtype=torch.bfloat16)
    with without_kernels():
        right, right_scale = quantize_rows(x, gelu=gelu)
    got, scale = quantize_rows_triton(x, gelu=gelu)
    torch.testing.assert_close(scale, right_scale)
    different = got.float() != right.float()
    # The interpreter's own rounding to float8 is off by one step now and then.
    assert different.float().mean() < (0.001 if device.type == "cuda" else 0.05)
    assert (got.float() - right.float()).norm() / right.float().norm() < (0.001 if device.type == "cuda" else 0.1)


def test_the_largest_number_of_a_row_becomes_the_largest_float8() -> None:
    rows, scale = quantize_rows(torch.tensor([[1.0, -2.0], [0.0, 0.0]]))
    assert rows.float().tolist() == [[224, -448], [0, 0]]
    assert scale.flatten().tolist() == pytest.approx([2 / 448, 1e-12 / 448])


def test_a_product_of_rounded_rows_is_near_the_product() -> None:
    torch.manual_seed(0)
    x, weight, bias = torch.randn(32, 256), torch.randn(48, 256), torch.randn(48)
    got = multiply(*quantize_rows(x), *quantize_rows(weight), bias, torch.float32)
    right = F.linear(x, weight, bias)
    assert (got - right).norm() / right.norm() < 0.05
