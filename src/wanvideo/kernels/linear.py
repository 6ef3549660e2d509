"""A Linear together with what follows it."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wanvideo.kernels.backend import has_kernel


def linear_gelu(layer: nn.Module, x: Tensor) -> Tensor:
    """gelu(layer(x)), with the tanh approximation; on a GPU within the matrix product, before it is rounded."""
    if type(layer) is nn.Linear and has_kernel(x):
        rows = torch._addmm_activation(layer.bias, x.flatten(0, -2), layer.weight.T, use_gelu=True)
        return rows.unflatten(0, x.shape[:-1])  # type: ignore[no-any-return]
    return F.gelu(layer(x), approximate="tanh")
