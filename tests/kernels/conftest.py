"""Kernels run on a GPU where there is one, and otherwise in Triton's interpreter on the CPU."""

import builtins
import platform
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
import torch


class _Int(type):
    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, builtins.int)


class _FromArray(int, metaclass=_Int):
    """What the interpreter calls `int`: numpy 2.4 no longer makes one of an array with one element."""

    def __new__(cls, value: Any = 0) -> int:  # type: ignore[misc]
        return builtins.int(value.item() if isinstance(value, np.ndarray) else value)


@pytest.fixture
def device() -> Iterator[torch.device]:
    """Where kernels run."""
    if find_spec("triton") is None and (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        pytest.skip("there is no Triton for this system")
    torch.manual_seed(0)
    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        if torch.cuda.is_available():
            yield torch.device("cuda")
            return
        import triton.runtime.interpreter

        patch.setattr(triton.runtime.interpreter, "int", _FromArray, raising=False)
        yield torch.device("cpu")
