"""How far a rank has come, as it counts that itself."""

import pytest
import torch

from tests.parallel.member import _network
from wanvideo.parallel.team import ALONE, Team, Turns
from wanvideo.parallel.tokens import spread

CPU = torch.device("cpu")


@torch.no_grad()
def test_a_rank_with_a_branch_of_its_own_counts_blocks() -> None:
    turns, network = Turns(), _network(4, torch.float32)
    given = torch.randn(1, 8, 2, 6, 10), torch.tensor([[500.0]]), torch.randn(1, 5, 32)
    velocity = spread(network, Team(1, 0, None, turns))(*given)
    assert turns.count == len(network.blocks)
    assert velocity.equal(network(*given))
    assert turns.count == len(network.blocks)  # nothing of it is left


def test_one_rank_alone_counts_nothing() -> None:
    network = _network(4, torch.float32)
    assert spread(network, ALONE) is network


def test_on_the_cpu_what_is_taken_counts_at_once() -> None:
    turns = Turns()
    turns.take(CPU)
    assert (turns.count, turns.waits) == (1, False)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_it_counts_when_the_gpu_comes_to_it() -> None:
    turns, device = Turns(), torch.device("cuda:0")
    torch.cuda._sleep(1_000_000_000)
    turns.take(device)
    assert (turns.count, turns.waits) == (0, True)
    torch.cuda.synchronize(device)
    assert (turns.count, turns.waits) == (1, False)
