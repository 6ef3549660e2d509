"""A network whose blocks pass through a few slots computes the same bits as one that is all there."""

import copy
import itertools
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from wanvideo.models.config import TransformerConfig
from wanvideo.models.transformer import WanTransformer
from wanvideo.runtime.quantize import quantize_fp8
from wanvideo.runtime.streaming import BlockStream, Slots, large_tensors, slab_bytes, spread, stream_blocks

CONFIG = TransformerConfig(
    in_channels=16, out_channels=16, num_heads=2, num_layers=7, ffn_dim=256, head_dim=32, text_dim=48
)
LEAST = 1024
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.fixture(autouse=True)
def _without_gradients() -> Iterator[None]:
    torch.manual_seed(0)
    with torch.no_grad():
        yield


def network() -> WanTransformer:
    return WanTransformer(CONFIG).eval().requires_grad_(False)


def inputs(device: str) -> tuple[Tensor, Tensor, Tensor]:
    shapes = (torch.randn(1, 16, 3, 8, 8), torch.tensor([500.0]), torch.randn(1, 20, 48))
    return tuple(t.to(device) for t in shapes)  # type: ignore[return-value]


def streamed(model: WanTransformer, slots: Slots, *, pinned: bool = True, lanes: int = 2) -> BlockStream:
    return stream_blocks(model, model.blocks, slots, pinned=pinned, lanes=lanes, least=LEAST)


def slots_for(model: WanTransformer, count: int, device: str) -> Slots:
    return Slots(count, slab_bytes(large_tensors(model.blocks[0], LEAST)), torch.device(device))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("pinned", [True, False])
@pytest.mark.parametrize(("count", "passing"), [(2, 7), (3, 6), (5, 4), (7, 0), (9, 0)])
def test_two_networks_share_slots_and_compute_the_same_bits(
    device: str, pinned: bool, count: int, passing: int
) -> None:
    first, second = network(), network()
    given = inputs(device)
    wanted = [copy.deepcopy(model).to(device)(*given) for model in (first, second)]
    slots = slots_for(first, count, device)
    streams = [streamed(model, slots, pinned=pinned) for model in (first, second)]
    assert [stream.passing for stream in streams] == [passing, passing]
    for model, right in ((first, 0), (first, 0), (second, 1), (second, 1), (first, 0)):
        assert torch.equal(model(*given), wanted[right])
    for stream in streams:
        stream.close()


def test_more_lanes_give_the_same_bits() -> None:
    model, given = network(), inputs("cpu")
    wanted = copy.deepcopy(model)(*given)
    stream = streamed(model, slots_for(model, 5, "cpu"), lanes=3)
    assert stream.passing == 5
    assert all(torch.equal(model(*given), wanted) for _ in range(3))


def test_a_forward_that_was_broken_off_does_not_matter_to_the_next() -> None:
    model, given = network(), inputs("cpu")
    wanted = copy.deepcopy(model)(*given)
    streamed(model, slots_for(model, 3, "cpu"))
    handle = model.blocks[4].register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model(*given)
    handle.remove()
    assert torch.equal(model(*given), wanted)


def test_weights_are_in_host_memory_once() -> None:
    model = network()
    places = [place for block in model.blocks for place in large_tensors(block, LEAST)]
    stream = streamed(model, slots_for(model, 3, "cpu"))
    model(*inputs("cpu"))
    stream.stop()
    addresses = {place.bound.untyped_storage().data_ptr() for place in places}
    assert len(addresses) == len(model.blocks)  # one slab each, and nothing else


def test_float8_weights_pass_through_as_well() -> None:
    model, given = network(), inputs("cpu")
    quantize_fp8(model)
    wanted = copy.deepcopy(model)(*given)
    stream = streamed(model, slots_for(model, 3, "cpu"))
    assert stream.passing == 6
    assert torch.equal(model(*given), wanted)


@pytest.mark.parametrize(("count", "chosen"), [(40, 0), (40, 1), (40, 13), (40, 39), (40, 40), (1, 1)])
def test_what_passes_lies_evenly_between_what_stays(count: int, chosen: int) -> None:
    places = spread(count, chosen)
    assert len(set(places)) == chosen
    assert all(0 <= place < count for place in places)
    gaps = {b - a for a, b in itertools.pairwise(places)}
    assert len(gaps) <= 2
