import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from wanvideo.kernels.attention import attention, fill_up


def heads(length: int, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(1, length, 2, 128, device=device, dtype=dtype)


def right(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    q, k, v = (t.float().transpose(1, 2) for t in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2)


def relative(got: Tensor, wanted: Tensor) -> float:
    return float((got.float() - wanted).norm() / wanted.norm())


@pytest.mark.parametrize(("logits", "most"), [(torch.int8, 0.04), (torch.float8_e4m3fn, 0.05)])
def test_attention_in_8_bits_is_near_attention(device: torch.device, logits: torch.dtype, most: float) -> None:
    from wanvideo.kernels.attention_triton import attention_8bit

    q, k, v = (heads(n, device, torch.bfloat16) for n in (150, 200, 200))
    k, v = k + 1, v + 0.5  # not all is centred in trained networks
    assert relative(attention_8bit(q, k, v, logits=logits), right(q, k, v)) < most


def test_keys_that_pad_hardly_change_anything() -> None:
    torch.manual_seed(0)
    q, k, v = heads(16), 3 * heads(1000), heads(1000)
    wanted = attention(q, k, v)
    padded = [F.pad(x, (0, 0, 0, 0, 0, 24), value=float("nan")) for x in (k, v)]
    assert relative(attention(q, *padded, length=1000), wanted) < 24 / 1000 / 4


def test_padding_changes_nothing_where_all_weights_are_even() -> None:
    q, k, v = torch.zeros(1, 4, 2, 128), heads(100), heads(100)
    keys, values = (F.pad(x, (0, 0, 0, 0, 0, 28)) for x in (k, v))
    fill_up(keys, values, length=100)
    torch.testing.assert_close(attention(q, keys, values), attention(q, k, v), atol=1e-6, rtol=0)


@pytest.mark.gpu
def test_every_implementation_that_is_here_passes_its_own_test() -> None:
    from wanvideo.kernels.attention import Backend, self_test

    device = torch.device("cuda")
    with torch.no_grad():
        assert self_test(Backend.SDPA, device) < 0.01
        assert self_test(Backend.EIGHT_BIT, device) < 0.08
