"""Our unpacking of GGUF blocks against the `gguf` package, and the kernels against ours."""

import gguf
import pytest
import torch

from benchmarks.gguf_kernels import random_blocks
from wanvideo.weights.dequantize import decode, dequantize, dequantize_torch
from wanvideo.weights.gguf import BLOCKS


@pytest.mark.parametrize("kind", BLOCKS)
def test_blocks_are_unpacked_as_the_gguf_package_does_to_the_bit(kind: str) -> None:
    blocks = random_blocks(kind, 64, 5 * BLOCKS[kind][0])
    expected = gguf.quants.dequantize(blocks.numpy(), gguf.GGMLQuantizationType[kind])
    ours = dequantize_torch(blocks, kind, torch.float32)
    assert ours.shape == (64, 5 * BLOCKS[kind][0])
    assert ours.numpy().tobytes() == expected.tobytes()


@pytest.mark.parametrize("kind", ["Q4_K", "Q8_0"])
def test_other_dtypes_are_rounded_once_and_long_tensors_unpacked_in_pieces(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = random_blocks(kind, 7, 3 * BLOCKS[kind][0])
    exact = dequantize(blocks, kind, torch.float32)
    monkeypatch.setattr("wanvideo.weights.dequantize._CHUNK", 512)
    assert dequantize(blocks, kind, torch.float32).equal(exact)
    assert dequantize(blocks, kind, torch.bfloat16).equal(exact.bfloat16())


@pytest.mark.parametrize("shape", [(1, 1), (6, 1)])
@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_scaled_numbers_are_rounded_once(dtype: torch.dtype, shape: tuple[int, int]) -> None:
    stored, scale = torch.randn(6, 8).mul(100).to(dtype), torch.rand(shape) / 100
    exact = stored.double() * scale.double()
    assert decode(stored, "F8", scale, torch.bfloat16).equal((stored.float() * scale).bfloat16())
    torch.testing.assert_close(decode(stored, "F8", scale, torch.float32).double(), exact, rtol=1e-7, atol=0)


def test_decoding_does_not_touch_what_is_stored() -> None:
    stored, scale = torch.ones(2, 2, dtype=torch.bfloat16), torch.full((1, 1), 3.0)
    assert decode(stored, "BF16", scale, torch.bfloat16).equal(torch.full((2, 2), 3.0).bfloat16())
    assert stored.equal(torch.ones(2, 2).bfloat16())


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", BLOCKS)
def test_kernels_unpack_as_their_twins_do(kind: str, dtype: torch.dtype) -> None:
    blocks = random_blocks(kind, 129, 7 * BLOCKS[kind][0])
    expected = dequantize_torch(blocks, kind, dtype)
    ours = dequantize(blocks.cuda(), kind, dtype).cpu()
    # A kernel may fuse the last product and difference, and so round once less.
    tolerance = 2**-22 if dtype == torch.float32 else 2**-7
    magnitude = expected.float().abs().max().item()
    torch.testing.assert_close(ours, expected, rtol=tolerance, atol=tolerance * magnitude)
