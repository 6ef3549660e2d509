"""The error of lossy settings is of the parts that they name, and the model is itself again afterwards."""

import pytest
import torch

from benchmarks.full_size import random_weights
from benchmarks.speed.error import ATTENTION, FEED_FORWARD, Lossy, settings
from benchmarks.speed.shapes import A14B_480P, inputs, shrunk
from wanvideo.models.transformer import WanTransformer
from wanvideo.runtime.quantize import LINEARS, EightBitLinear

CPU = torch.device("cpu")
SHAPE = shrunk(A14B_480P)


@pytest.fixture
def model() -> WanTransformer:
    torch.manual_seed(0)
    return random_weights(lambda: WanTransformer(SHAPE.config), CPU, torch.float32, True)


@pytest.mark.parametrize("linears", [(), ATTENTION, FEED_FORWARD, LINEARS])
def test_only_the_named_linears_have_8_bits(model: WanTransformer, linears: tuple[str, ...]) -> None:
    with Lossy(linears=linears).used_by(model):
        for block in model.blocks:
            found = {name for name in LINEARS if isinstance(block.get_submodule(name), EightBitLinear)}
            assert found == set(linears)


def test_the_model_is_itself_again_after_every_setting(model: WanTransformer) -> None:
    given = inputs(SHAPE, CPU, torch.float32)
    with torch.no_grad():
        before = model(given.latents, given.timestep, given.text)
        for lossy in settings().values():
            with lossy.used_by(model):
                inside = model(given.latents, given.timestep, given.text)
            assert torch.equal(inside, before) == (not lossy.linears)
            assert torch.equal(model(given.latents, given.timestep, given.text), before)
