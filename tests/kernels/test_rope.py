import pytest
import torch

from wanvideo.kernels.backend import without_kernels
from wanvideo.kernels.rope import norm_rope

B, L, N, HEAD = 2, 5, 3, 64


@pytest.mark.parametrize("turned", [False, True])
def test_the_kernel_norms_and_turns_as_its_twin_does(device: torch.device, turned: bool) -> None:
    from wanvideo.kernels.rope_triton import norm_rope_

    x = torch.randn(B, L, 2 * N * HEAD, device=device, dtype=torch.bfloat16)[..., : N * HEAD]  # of a wider tensor
    weight, rope = torch.rand(N * HEAD, device=device) + 0.5, torch.randn(2, L, HEAD // 2, device=device)
    rope_or_none = rope if turned else None
    with without_kernels():
        right = norm_rope(x, weight, rope_or_none, heads=N, eps=1e-6)
    got = norm_rope_(x, weight, rope_or_none, heads=N, eps=1e-6)
    assert got.data_ptr() == x.data_ptr()
    torch.testing.assert_close(got.unflatten(-1, (N, HEAD)).float(), right.float(), rtol=2**-7, atol=1e-5)
