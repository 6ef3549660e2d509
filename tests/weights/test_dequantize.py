"""Our unpacking of GGUF blocks against the `gguf` package, and the kernels against ours."""

import gguf
import numpy as np
import pytest
import torch
from torch import Tensor

from wanvideo.weights.dequantize import decode, dequantize, dequantize_torch
from wanvideo.weights.gguf import BLOCKS

# Where the float16 scales of a block lie; random bytes there could be infinite.
HALVES = {
    "Q8_0": (0,), "Q4_0": (0,), "Q4_1": (0, 2), "Q5_0": (0,), "Q5_1": (0, 2),
    "Q2_K": (80, 82), "Q3_K": (108,), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,),
}  # fmt: skip


def random_blocks(kind: str, rows: int, blocks: int, seed: int = 0) -> Tensor:
    """Blocks of every possible content with sane scales: uint8 [rows, bytes of a row]."""
    generator = np.random.default_rng(seed)
    data = generator.integers(0, 256, (rows * blocks, BLOCKS[kind][1]), dtype=np.uint8)
    for start in HALVES[kind]:
        scales = generator.normal(size=(rows * blocks, 1)).astype(np.float16)
        data[:, start : start + 2] = scales.view(np.uint8)
    return torch.from_numpy(data).reshape(rows, -1)


@pytest.mark.parametrize("kind", BLOCKS)
def test_blocks_are_unpacked_as_the_gguf_package_does_to_the_bit(kind: str) -> None:
    blocks = random_blocks(kind, rows=64, blocks=5)
    expected = gguf.quants.dequantize(blocks.numpy(), gguf.GGMLQuantizationType[kind])
    ours = dequantize_torch(blocks, kind, torch.float32)
    assert ours.shape == (64, 5 * BLOCKS[kind][0])
    assert ours.numpy().tobytes() == expected.tobytes()


@pytest.mark.parametrize("kind", ["Q4_K", "Q8_0"])
def test_other_dtypes_are_rounded_once_and_long_tensors_unpacked_in_pieces(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = random_blocks(kind, rows=7, blocks=3)
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
    blocks = random_blocks(kind, rows=129, blocks=7)
    expected = dequantize_torch(blocks, kind, dtype)
    ours = dequantize(blocks.cuda(), kind, dtype).cpu()
    # A kernel may fuse the last product and difference, and so round once less.
    tolerance = 2**-22 if dtype == torch.float32 else 2**-7
    magnitude = expected.float().abs().max().item()
    torch.testing.assert_close(ours, expected, rtol=tolerance, atol=tolerance * magnitude)
