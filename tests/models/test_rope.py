import torch
from hypothesis import given
from hypothesis import strategies as st

from wanvideo.kernels.rope import apply_rope
from wanvideo.models.rope import axis_dims, rope_table


def test_a_head_of_128_turns_44_channels_with_time_and_42_with_each_side() -> None:
    assert axis_dims(128) == (44, 42, 42)


def test_frequencies_are_the_official_ones() -> None:
    """Second and last inverse frequency of the axes, as computed by the official code."""
    cos, sin = rope_table((2, 2, 2), 128).double().unbind(0)
    angle = torch.atan2(sin, cos)
    time, height = angle[4, :22], angle[2, 22:43]  # the tokens one step along T and along H
    torch.testing.assert_close(time[[1, -1]], torch.tensor([0.65793322, 0.00015199]).double(), atol=1e-7, rtol=1e-4)
    torch.testing.assert_close(height[[1, -1]], torch.tensor([0.64494668, 0.00015505]).double(), atol=1e-7, rtol=1e-4)


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4), st.sampled_from([6, 12, 32, 128]))
def test_turning_keeps_every_length_and_the_first_token(t: int, h: int, w: int, head_dim: int) -> None:
    x = torch.randn(1, t * h * w, 2, head_dim, generator=torch.Generator().manual_seed(0))
    turned = apply_rope(x, rope_table((t, h, w), head_dim))
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    assert torch.equal(turned[:, 0], x[:, 0])


def test_a_product_of_query_and_key_depends_on_their_distance_alone() -> None:
    q, k = torch.randn(2, 1, 1, 1, 32)
    rope = rope_table((1, 1, 9), 32)

    def product(i: int, j: int) -> torch.Tensor:
        return (apply_rope(q, rope[:, i : i + 1]) * apply_rope(k, rope[:, j : j + 1])).sum()

    torch.testing.assert_close(product(1, 3), product(6, 8))


def test_neighbouring_channels_form_the_pairs() -> None:
    x = torch.zeros(1, 2, 1, 12)
    x[..., 0] = 1
    turned = apply_rope(x, rope_table((2, 1, 1), 12))[0, 1, 0]
    torch.testing.assert_close(
        turned[:2], torch.tensor([1.0, 1.0]).cos() * torch.tensor([1.0, 0.0]) + torch.tensor([0.0, 1.0]).sin()
    )
    assert not turned[2:].any()
