"""Both branches of guidance at the same time: one team computes the prompt's, another one the negative prompt's."""

from collections.abc import Callable
from typing import TypeAlias

from torch import Tensor

from wanvideo.parallel.ranks import Work

Forward: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]


def apart(work: Work) -> Callable[[Forward, Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]] | None:
    """What gives both velocities of a step, with one exchange between the teams; None if there is but one team."""
    if work.branches.size == 1:
        return None

    def both(network: Forward, x: Tensor, time: Tensor, prompt: Tensor, negative: Tensor) -> tuple[Tensor, Tensor]:
        mine = network(x, time, prompt if work.branch == 0 else negative)
        cond, uncond = work.branches.gather(mine, [mine.shape[0]] * 2, dim=0).chunk(2)
        return cond, uncond

    return both
