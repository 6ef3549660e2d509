"""LoRAs change what a transformer computes by exactly what they say, and leave no trace."""

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor, nn

from tests.weights.lora.dialects import MODULES, TINY, expected, matrices
from wanvideo.errors import LoraUnsupported
from wanvideo.kernels.eight_bit import FP8, INT8, round_rows
from wanvideo.models.transformer import WanTransformer, keeps_fp32
from wanvideo.runtime.lora import Branch, applied, branch_for
from wanvideo.runtime.quantize import EightBitLinear
from wanvideo.weights.lora.tensors import Delta

CPU = torch.device("cpu")
EVERYWHERE = (
    *MODULES,
    "text_embedding.0",
    "time_embedding.2",
    "time_projection.1",
)


def transformer(dtype: torch.dtype = torch.float32) -> WanTransformer:
    """With the precisions that a loaded one has."""
    torch.manual_seed(0)
    model = WanTransformer(TINY).requires_grad_(False).eval()
    for name, parameter in model.named_parameters():
        parameter.data = parameter if keeps_fp32(name) else parameter.to(dtype)
    return model


def velocity(model: Callable[..., Tensor]) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    x, text = (torch.randn(size, generator=generator) for size in ((1, 16, 2, 4, 4), (1, 5, 16)))
    return model(x, torch.tensor([500.0]), text)


def low_rank(seed: int = 0, scale: float = 1.0) -> dict[str, Delta]:
    return {module: Delta(down=down, up=scale * up) for module, (down, up) in matrices(seed).items()}


def whole() -> dict[str, Delta]:
    """A difference for one parameter of every kind that the network reads by itself, and of a bias."""
    model = transformer()
    names = ("blocks.0.norm3", "blocks.1.self_attn.norm_k", "patch_embedding", "head.head")
    deltas = {name: Delta(diff=torch.full_like(model.get_parameter(f"{name}.weight"), 0.1)) for name in names}
    deltas |= {name: Delta(diff=torch.full_like(model.get_parameter(name), 0.1)) for name in ("head.modulation",)}
    bias = torch.full((TINY.dim,), 0.1)
    return deltas | {"blocks.0.self_attn.v": Delta(diff_bias=bias), "blocks.1.norm3": Delta(diff_bias=bias)}


def merged(deltas: Mapping[str, Delta]) -> WanTransformer:
    """The same by arithmetic on the weights."""
    model = transformer()
    for name, delta in deltas.items():
        weight = name if name.endswith("modulation") else f"{name}.weight"
        for parameter, difference in ((weight, delta.weight()), (f"{name}.bias", delta.diff_bias)):
            if difference is not None:
                model.get_parameter(parameter).add_(difference)
    return model


@pytest.mark.parametrize("deltas", [low_rank(), whole(), low_rank() | whole()])
def test_a_lora_does_what_the_sum_of_the_weights_does(deltas: dict[str, Delta]) -> None:
    model = transformer()
    plain = velocity(model)
    with applied(model, deltas, device=CPU, dtype=torch.float32):
        changed = velocity(model)
    torch.testing.assert_close(changed, velocity(merged(deltas)), atol=1e-5, rtol=1e-5)
    assert (changed - plain).abs().max() > 1e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_afterwards_every_parameter_is_the_same_object_with_the_same_bits(dtype: torch.dtype) -> None:
    model = transformer(dtype)
    before = {name: (p, p.clone()) for name, p in model.named_parameters()}
    plain = velocity(model)
    for seed in range(20):
        with applied(model, low_rank(seed) | whole(), device=CPU, dtype=dtype):
            velocity(model)
    after = dict(model.named_parameters())
    assert list(after) == list(before)
    assert all(after[name] is p and p.equal(copy) for name, (p, copy) in before.items())
    assert velocity(model).equal(plain)
    assert not any(isinstance(module, Branch) for module in model.modules())


def test_an_error_inside_undoes_it_too() -> None:
    model = transformer()
    plain = velocity(model)
    with pytest.raises(ZeroDivisionError), applied(model, low_rank() | whole(), device=CPU, dtype=torch.float32):
        raise ZeroDivisionError
    assert velocity(model).equal(plain)


def test_without_loras_nothing_is_put_in_the_way() -> None:
    model = transformer()
    modules = list(model.modules())
    with applied(model, {}, device=CPU, dtype=torch.float32):
        assert [a is b for a, b in zip(model.modules(), modules, strict=True)] == [True] * len(modules)


class Eightfold(nn.Module):
    """A Linear that stores its weight in 8 bits, as no nn.Linear does."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.scale = linear.weight.abs().max() / 127
        self.register_buffer("stored", (linear.weight / self.scale).round().to(torch.int8))
        self.bias = linear.bias

    @property
    def weight(self) -> Tensor:
        return self.stored.float() * self.scale  # type: ignore[operator]

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weight, self.bias)


def test_a_quantised_linear_stays_quantised_under_a_lora() -> None:
    model = transformer()
    for module in MODULES:
        parent, _, leaf = module.rpartition(".")
        linear = model.get_submodule(module)
        assert isinstance(linear, nn.Linear)
        setattr(model.get_submodule(parent), leaf, Eightfold(linear))
    stored = {name: buffer.clone() for name, buffer in model.named_buffers()}
    plain, deltas = velocity(model), low_rank()
    with applied(model, deltas, device=CPU, dtype=torch.float32):
        changed = velocity(model)
        assert all(
            buffer.equal(stored[name.replace(".base.", ".")])
            for name, buffer in model.named_buffers()
            if "stored" in name
        )
    assert velocity(model).equal(plain)
    reference = transformer()
    for module, difference in expected(matrices(), scale=1.0).items():
        linear = model.get_submodule(module)
        reference.get_parameter(f"{module}.weight").copy_(linear.weight + difference)  # type: ignore[operator]
    torch.testing.assert_close(changed, velocity(reference), atol=1e-5, rtol=1e-5)


def test_what_nothing_can_be_added_to_is_refused_and_all_is_undone() -> None:
    model = transformer()
    model.head.head.weight = nn.Parameter(model.head.head.weight.to(torch.int8), requires_grad=False)
    modules = list(model.modules())
    with (
        pytest.raises(LoraUnsupported, match=r"head\.head\.weight"),
        applied(model, low_rank() | whole(), device=CPU, dtype=torch.float32),
    ):
        pass
    assert list(model.modules()) == modules


def test_in_bfloat16_a_small_lora_is_not_rounded_away() -> None:
    """Summed into bfloat16 weights, a difference of 1 % of them is wrong by a sixth; beside them it is not."""
    generator = torch.Generator().manual_seed(0)
    linear = nn.Linear(64, 64, bias=False, dtype=torch.bfloat16).requires_grad_(False)
    linear.weight.copy_(torch.randn(64, 64, generator=generator))
    delta = Delta(down=torch.randn(4, 64, generator=generator), up=torch.randn(64, 4, generator=generator) * 0.005)
    difference = delta.weight()
    assert difference is not None
    branch = Branch(linear, delta, device=CPU, dtype=torch.bfloat16)

    def error(held: Tensor) -> float:
        return float((held - difference).norm() / difference.norm())

    assert error((linear.weight + difference).bfloat16().float() - linear.weight.float()) > 0.1
    assert branch.up is not None
    assert branch.down is not None
    assert error(branch.up.float() @ branch.down.float()) < 0.01


def test_modules_outside_the_blocks_are_reached_in_their_own_precision() -> None:
    model = transformer(torch.bfloat16)
    shapes = {name: model.get_parameter(f"{name}.weight").shape for name in EVERYWHERE}
    deltas = {name: Delta(down=torch.ones(1, s[1]) * 0.1, up=torch.ones(s[0], 1) * 0.1) for name, s in shapes.items()}
    with applied(model, deltas, device=CPU, dtype=torch.bfloat16):
        branches = {name: module for name, module in model.named_modules() if isinstance(module, Branch)}
        assert branches.keys() == set(EVERYWHERE)
        assert branches["time_projection.1"].get_buffer("down").dtype == torch.float32
        assert branches["blocks.0.ffn.0"].get_buffer("down").dtype == torch.bfloat16
        assert torch.isfinite(velocity(model)).all()


@pytest.mark.gpu
@pytest.mark.parametrize(("kind", "most"), [(None, 0.02), (FP8, 0.05), (INT8, 0.03)])
@pytest.mark.parametrize("rank", [16, 20])
def test_on_a_gpu_it_adds_the_same(kind: torch.dtype | None, most: float, rank: int) -> None:
    torch.manual_seed(0)
    gpu, dtype = torch.device("cuda"), torch.bfloat16
    base: nn.Module = nn.Linear(256, 512, device=gpu, dtype=dtype).requires_grad_(False)
    x = torch.randn(2, 300, 256, device=gpu, dtype=dtype)
    delta = Delta(down=torch.randn(rank, 256), up=torch.randn(512, rank), diff_bias=torch.randn(512))
    difference, bias = delta.weight(), delta.diff_bias
    assert difference is not None
    assert bias is not None
    with torch.no_grad():
        if kind is not None:
            rows = round_rows(base.weight, kind)  # type: ignore[arg-type]
            base = EightBitLinear(rows.values, rows.scale, base.bias)  # type: ignore[arg-type]
        added = branch_for(base, delta, device=gpu, dtype=dtype)(x).float() - base(x).float()
    expected = x.float() @ difference.to(gpu).T + bias.to(gpu)
    assert (added - expected).norm() < most * expected.norm()


@pytest.mark.slow
def test_a_compiled_network_sees_loras_come_and_go() -> None:
    """Hooks it would not see: torch does not look for those that are added after it has compiled."""
    model, deltas = transformer(), low_rank() | whole()
    plain = velocity(model)
    compiled = torch.compile(model, backend="eager")
    assert velocity(compiled).equal(plain)
    with applied(model, deltas, device=CPU, dtype=torch.float32):
        torch.testing.assert_close(velocity(compiled), velocity(merged(deltas)), atol=1e-5, rtol=1e-5)
    assert velocity(compiled).equal(plain)
