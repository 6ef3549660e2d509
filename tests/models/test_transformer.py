import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from tests.models.reference import relative_error, transformers
from wanvideo.models.config import TransformerConfig
from wanvideo.models.transformer import WanTransformer, keeps_fp32, sinusoid

GRID = (3, 4, 6)  # latent frames and cells: 18 tokens, 6 a frame
TINY = TransformerConfig(in_channels=4, out_channels=4, num_heads=2, head_dim=12, num_layers=2, ffn_dim=16, text_dim=8)


@pytest.mark.parametrize("kind", ["t2v", "i2v", "ti2v"])
@torch.no_grad()
def test_each_kind_computes_what_diffusers_computes(kind: str) -> None:
    ours, theirs = transformers(kind)
    x, text = torch.randn(2, ours.config.in_channels, *GRID), torch.randn(2, 9, 24)
    timestep = torch.tensor([999.0, 321.0])
    expected = theirs(x, timestep, text, return_dict=False)[0]
    assert relative_error(ours(x, timestep, text), expected) <= 2e-5


@torch.no_grad()
def test_two_timesteps_equal_one_per_token_in_diffusers() -> None:
    ours, theirs = transformers("ti2v")
    x, text = torch.randn(2, 48, *GRID), torch.randn(2, 9, 24)
    rows = torch.tensor([[0.0, 871.0], [0.0, 12.0]])
    per_token = torch.cat([rows[:, :1].expand(-1, 6), rows[:, 1:].expand(-1, 12)], dim=1)
    expected = theirs(x, per_token, text, return_dict=False)[0]
    assert relative_error(ours(x, rows, text), expected) <= 2e-5


@torch.no_grad()
def test_two_equal_timesteps_are_one() -> None:
    torch.manual_seed(0)
    model = WanTransformer(TINY)
    x, text = torch.randn(1, 4, *GRID), torch.randn(1, 5, 8)
    once, twice = model(x, torch.tensor([500.0]), text), model(x, torch.tensor([[500.0, 500.0]]), text)
    torch.testing.assert_close(once, twice)


class Shapes(TorchDispatchMode):
    """Notes the shape of every tensor that is made."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: set[tuple[int, ...]] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            self.seen.add(tuple(result.shape))
        return result


@torch.no_grad()
def test_modulation_is_never_spread_over_the_tokens() -> None:
    """Six rows for each of 75,600 tokens would be 9.29 GB at 1280x720."""
    model = WanTransformer(TINY)
    with Shapes() as shapes:
        model(torch.randn(1, 4, *GRID), torch.tensor([[0.0, 500.0]]), torch.randn(1, 5, 8))
    assert (1, 2, 6, 24) in shapes.seen
    assert not any(6 in shape and 18 in shape for shape in shapes.seen if len(shape) == 4 and shape[-1] == 24)


def test_the_sinusoid_is_the_official_one() -> None:
    """Values of the official code at timestep 999."""
    e = sinusoid(torch.tensor([999]), 256)[0]
    torch.testing.assert_close(e[:4], torch.tensor([0.99965, 0.963782, -0.398992, 0.704821]), atol=1e-6, rtol=0)
    torch.testing.assert_close(e[128:132], torch.tensor([-0.026461, -0.26669, -0.916955, 0.709386]), atol=1e-6, rtol=0)
    torch.testing.assert_close(e.sum(), torch.tensor(52.50448), atol=1e-4, rtol=0)


@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3))
def test_patches_come_back_where_they_were_taken(t: int, h: int, w: int, channels: int) -> None:
    """The head's values lie (height, width, channel) in a patch."""
    config = TransformerConfig(
        in_channels=channels, out_channels=channels, num_heads=1, head_dim=12, num_layers=0, ffn_dim=4, text_dim=4
    )
    with torch.device("meta"):
        model = WanTransformer(config)
    video = torch.arange(channels * t * h * w * 4).reshape(1, channels, t, h * 2, w * 2)
    patches = video.unflatten(4, (w, 2)).unflatten(3, (h, 2)).permute(0, 2, 3, 5, 4, 6, 1)
    assert torch.equal(model.unpatchify(patches.flatten(1, 3).flatten(2), (t, h, w)), video)


def test_what_the_official_code_keeps_in_float32_is_kept() -> None:
    with torch.device("meta"):
        names = [name for name, _ in WanTransformer(TINY).named_parameters()]
    rounded = {name.removeprefix("blocks.0.") for name in names if not keeps_fp32(name) and "blocks.1" not in name}
    linears = {f"{a}.{b}.{c}" for a in ("self_attn", "cross_attn") for b in "qkvo" for c in ("weight", "bias")}
    linears |= {f"{a}.{b}.{c}" for a in ("ffn", "text_embedding") for b in "02" for c in ("weight", "bias")}
    assert rounded == linears | {"patch_embedding.weight", "patch_embedding.bias"}


@torch.no_grad()
def test_in_bfloat16_the_residual_stream_and_the_result_are_float32() -> None:
    torch.manual_seed(0)
    model = WanTransformer(TINY)
    x, timestep, text = torch.randn(1, 4, *GRID), torch.tensor([700.0]), torch.randn(1, 5, 8)
    exact = model(x, timestep, text)
    for name, parameter in model.named_parameters():
        if not keeps_fp32(name):
            parameter.data = parameter.data.bfloat16()
    inputs: list[torch.dtype] = []
    for block in model.blocks:
        block.register_forward_pre_hook(lambda _, args: inputs.append(args[0].dtype))
    rounded = model(x, timestep, text)
    assert inputs == [torch.float32] * 2
    assert rounded.dtype == torch.float32
    assert 0 < relative_error(rounded, exact) < 0.03


def test_no_dropout_or_other_state_remains_in_a_transformer() -> None:
    with torch.device("meta"):
        model = WanTransformer(TINY)
    assert not list(model.buffers())
    assert not any(isinstance(module, nn.Dropout) for module in model.modules())
