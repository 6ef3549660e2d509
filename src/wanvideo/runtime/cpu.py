"""Speed on the CPU, from outside the networks."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch

SMALL: Final = 50_000_000  # weights of a network whose layers take one core no more than some milliseconds


@contextmanager
def fitting_threads(weights: int) -> Iterator[None]:
    """While the block runs, one thread for a network of `weights` if it is small; as many as before for others.

    In small layers threads wait for one another longer than they work, above all beside other programs. Measured with a
    demo model, from start to MP4, on two cores with other work: 9.0 s with one thread, 20.3 s with two.
    """
    before = torch.get_num_threads()
    if weights >= SMALL or before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
