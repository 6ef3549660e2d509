"""How large a network is, by the headers of its files. No torch."""

import math
from typing import Any

from wanvideo.weights.network import NetworkPart


def count_weights(part: NetworkPart[Any]) -> int:
    """How many numbers a network on disk holds."""
    return sum(math.prod(tensor.shape) for file in part.files for tensor in file.tensors.values())
