"""A network whose blocks pass through a few slots computes the same bits as one that is all there."""

import copy
import itertools
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from wanvideo.models.config import TransformerConfig
from wanvideo.models.transformer import WanTransformer
from wanvideo.runtime.lora import applied
from wanvideo.runtime.quantize import quantize
from wanvideo.runtime.streaming import Arena, BlockStream, HostMemory, large_tensors, slab_bytes, spread
from wanvideo.weights.lora.tensors import Delta

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


def streamed(model: WanTransformer, arena: Arena, *, pinned: bool = True) -> BlockStream:
    return BlockStream(model, model.blocks, arena, memory=HostMemory() if pinned else None, least=LEAST)


def compute(model: WanTransformer, stream: BlockStream, given: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    stream.start()
    return model(*given)  # type: ignore[no-any-return]


def arena_for(model: WanTransformer, count: int, device: str = "cpu", lanes: int = 2) -> Arena:
    arena = Arena(torch.device(device))
    arena.open(slab_bytes(large_tensors(model.blocks[0], LEAST)), resident=count - lanes, lanes=lanes)
    return arena


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("pinned", [True, False])
@pytest.mark.parametrize(("count", "passing"), [(2, 7), (3, 6), (5, 4), (7, 0), (9, 0)])
def test_two_networks_share_slots_and_compute_the_same_bits(
    device: str, pinned: bool, count: int, passing: int
) -> None:
    first, second = network(), network()
    given = inputs(device)
    wanted = [copy.deepcopy(model).to(device)(*given) for model in (first, second)]
    arena = arena_for(first, count, device)
    streams = [streamed(model, arena, pinned=pinned) for model in (first, second)]
    for model, right in ((first, 0), (first, 0), (second, 1), (second, 1), (first, 0)):
        assert torch.equal(compute(model, streams[right], given), wanted[right])
        assert streams[right].passing == passing
    for stream in streams:
        stream.close()


def test_more_lanes_give_the_same_bits() -> None:
    model, given = network(), inputs("cpu")
    wanted = copy.deepcopy(model)(*given)
    stream = streamed(model, arena_for(model, 5, lanes=3))
    stream.start()
    assert stream.passing == 5
    assert all(torch.equal(model(*given), wanted) for _ in range(3))


def test_a_forward_that_was_broken_off_does_not_matter_to_the_next() -> None:
    model, given = network(), inputs("cpu")
    wanted = copy.deepcopy(model)(*given)
    streamed(model, arena_for(model, 3))
    handle = model.blocks[4].register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model(*given)
    handle.remove()
    assert torch.equal(model(*given), wanted)


def test_weights_are_in_host_memory_once() -> None:
    model = network()
    places = [place for block in model.blocks for place in large_tensors(block, LEAST)]
    stream = streamed(model, arena_for(model, 3))
    model(*inputs("cpu"))
    stream.stop()
    addresses = {place.bound.untyped_storage().data_ptr() for place in places}
    assert len(addresses) == len(model.blocks)  # one slab each, and nothing else


def test_float8_weights_pass_through_as_well() -> None:
    model, given = network(), inputs("cpu")
    quantize(model)
    wanted = copy.deepcopy(model)(*given)
    stream = streamed(model, arena_for(model, 3))
    assert torch.equal(model(*given), wanted)
    assert stream.passing == 6


@pytest.mark.parametrize(("count", "chosen"), [(40, 0), (40, 1), (40, 13), (40, 39), (40, 40), (1, 1)])
def test_what_passes_lies_evenly_between_what_stays(count: int, chosen: int) -> None:
    places = spread(count, chosen)
    assert len(set(places)) == chosen
    assert all(0 <= place < count for place in places)
    gaps = {b - a for a, b in itertools.pairwise(places)}
    assert len(gaps) <= 2


def test_an_arena_of_another_size_is_taken_at_the_next_start() -> None:
    model, given = network(), inputs("cpu")
    wanted = copy.deepcopy(model)(*given)
    arena = arena_for(model, 5)
    stream = streamed(model, arena)
    assert torch.equal(model(*given), wanted)
    arena.open(stream.slab_bytes, resident=0, lanes=2)
    assert torch.equal(model(*given), wanted)
    assert stream.passing == 7
    arena.close()
    assert arena.user is None
    assert not arena.slabs


def test_a_lora_stays_on_while_blocks_pass() -> None:
    model, given = network(), inputs("cpu")
    stream = streamed(model, arena_for(model, 3))
    stream.start()
    before = model(*given)
    delta = Delta(down=torch.randn(4, 256), up=torch.randn(64, 4) * 0.1)
    shift = Delta(diff=torch.randn(1, 6, 64))
    with applied(
        model, {"blocks.3.ffn.2": delta, "blocks.1.modulation": shift}, device=torch.device("cpu"), dtype=torch.float32
    ):
        changed = [model(*given) for _ in range(2)]
    assert not torch.equal(changed[0], before)
    assert torch.equal(changed[0], changed[1])
    assert torch.equal(model(*given), before)


def test_a_module_can_stay_in_host_memory() -> None:
    model = network()
    stream = BlockStream(
        model, model.blocks, arena_for(model, 3), memory=HostMemory(), least=LEAST, staying=[model.head]
    )
    names = {place.name for place in stream._rest.places if place.owner in set(model.head.modules())}
    assert not names
