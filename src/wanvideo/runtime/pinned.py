"""Page-locked host memory, of exactly the size that is needed.

PyTorch's own allocator of such memory rounds up to a power of two: 715 MB of a block would take 1 GiB.
"""

import logging
from collections.abc import Sequence

import torch
from torch import Tensor

log = logging.getLogger(__name__)


def pin(tensor: Tensor, device: torch.device) -> bool:
    """Lock the pages of `tensor`, so that the GPU can copy from it by itself; False if the system does not allow it.

    Copies are slower then, and nothing else changes. Memory that was locked must be unlocked before it is let go.
    """
    if device.type != "cuda" or tensor.numel() == 0:
        return False
    runtime = torch.cuda.cudart()
    code = runtime.cudaHostRegister(tensor.data_ptr(), tensor.nbytes, 0)
    if code == runtime.cudaError.success:
        return True
    log.warning("%.2f GiB of memory could not be page-locked (%s)", tensor.nbytes / 2**30, code)
    return False


def unpin(tensors: Sequence[Tensor]) -> None:
    """Give the pages of tensors that `pin` has locked free again."""
    for tensor in tensors:
        torch.cuda.cudart().cudaHostUnregister(tensor.data_ptr())
