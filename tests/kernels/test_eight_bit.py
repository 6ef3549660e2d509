import pytest
import torch
import torch.nn.functional as F

from tests.kernels.rounding import assert_rounded_alike
from wanvideo.kernels.backend import without_kernels
from wanvideo.kernels.eight_bit import FP8, INT8, int8_product, multiply, round_rows


@pytest.mark.parametrize("kind", [FP8, INT8])
@pytest.mark.parametrize("gelu", [False, True])
def test_the_kernel_rounds_as_its_twin_does(device: torch.device, kind: torch.dtype, gelu: bool) -> None:
    from wanvideo.kernels.eight_bit_triton import round_rows_triton

    x = torch.randn(7, 96, device=device, dtype=torch.bfloat16)
    with without_kernels():
        right = round_rows(x, kind, gelu=gelu)
    got, scale = round_rows_triton(x, kind, gelu=gelu)
    torch.testing.assert_close(scale, right.scale)
    assert_rounded_alike(got, right.values)


@pytest.mark.parametrize(("kind", "largest"), [(FP8, 448), (INT8, 127)])
def test_the_largest_number_of_a_row_becomes_the_largest_there_is(kind: torch.dtype, largest: int) -> None:
    rows = round_rows(torch.tensor([[1.0, -2.0], [0.0, 0.0]]), kind)
    assert rows.values.float().tolist() == [[largest // 2 + largest % 2, -largest], [0, 0]]
    assert rows.scale.flatten().tolist() == pytest.approx([2 / largest, 1e-12 / largest])


@pytest.mark.parametrize(("kind", "bound"), [(FP8, 0.05), (INT8, 0.02)])
def test_a_product_of_rounded_rows_is_near_the_product(kind: torch.dtype, bound: float) -> None:
    torch.manual_seed(0)
    x, weight, bias = torch.randn(4, 8, 256), torch.randn(48, 256), torch.randn(48)
    rows = round_rows(weight, kind)
    got = multiply(round_rows(x, kind), rows.values, rows.scale, bias)
    right = F.linear(x, weight, bias)
    assert (got - right).norm() / right.norm() < bound


@pytest.mark.parametrize("bias", [None, torch.linspace(-1, 1, 48)])
@pytest.mark.parametrize("count", [3, 40, 20_000])
def test_a_product_in_whole_numbers_is_the_same_product(count: int, bias: torch.Tensor | None) -> None:
    torch.manual_seed(0)
    x, weight = round_rows(torch.randn(count, 64), INT8), round_rows(torch.randn(48, 64), INT8)
    got = int8_product(x.values, x.scale, weight.values, weight.scale, bias, torch.float32)
    torch.testing.assert_close(got, multiply(x, weight.values, weight.scale, bias))


@pytest.mark.parametrize("with_bias", [True, False])
def test_the_kernel_scales_sums_as_its_twin_does(device: torch.device, with_bias: bool) -> None:
    from wanvideo.kernels.eight_bit_triton import scale_sums_

    sums = torch.randint(-1_000_000, 1_000_000, (5, 2500), dtype=torch.int32, device=device)
    rows, columns = torch.rand(5, 1, device=device) / 1e6, torch.rand(2500, 1, device=device)
    bias = torch.randn(2500, device=device, dtype=torch.bfloat16) if with_bias else None
    out = torch.empty(5, 2500, device=device)
    scale_sums_(sums, rows, columns, bias, out)
    right = sums * rows * columns.T
    torch.testing.assert_close(out, right if bias is None else right + bias.float())
