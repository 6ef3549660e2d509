"""A Linear together with what follows it."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wanvideo.kernels.backend import has_kernel


def is_linear(layer: nn.Module) -> bool:
    """Whether it computes F.linear(x, weight, bias) and nothing else: an `nn.Linear`, or what says so of its class."""
    return type(layer) is nn.Linear or getattr(type(layer), "is_linear", False)


def linear_gelu(layer: nn.Module, x: Tensor) -> Tensor:
    """gelu(layer(x)) of x [..., in] -> [..., out], with the tanh approximation; on a GPU within the matrix product,
    before it is rounded.

    That needs a layer that `is_linear`.
    """
    if is_linear(layer) and layer.bias is not None and has_kernel(x):
        bias, weight = layer.bias, layer.weight
        assert isinstance(bias, Tensor)
        assert isinstance(weight, Tensor)
        rows = torch._addmm_activation(bias, x.flatten(0, -2), weight.T, use_gelu=True)
        return rows.unflatten(0, x.shape[:-1])  # type: ignore[no-any-return]
    return gelu_(layer(x))


def gelu_(x: Tensor) -> Tensor:
    """gelu(x), the tanh approximation, in the place of x unless gradients are wanted: x is the largest of a forward."""
    if torch.is_grad_enabled():
        return F.gelu(x, approximate="tanh")
    return torch.ops.aten.gelu_(x, approximate="tanh")  # type: ignore[no-any-return]
