"""Where networks run, and in which precision: what users write, checked."""

from typing import Final

import torch

from wanvideo.errors import InvalidRequest

DTYPES: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def pick_device(name: str | None) -> torch.device:
    if name in (None, "auto"):
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InvalidRequest(f"no device is called {name!r}: use auto, cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise InvalidRequest(f"{name} cannot be used: use auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InvalidRequest(f"{name} is not there: PyTorch finds {torch.cuda.device_count()} CUDA devices; use cpu")
    return device


def pick_dtype(value: str | torch.dtype | None, default: torch.dtype) -> torch.dtype:
    if value is None:
        return default
    dtype = DTYPES.get(str(value).removeprefix("torch."))
    if dtype is None:
        raise InvalidRequest(f"dtype {value} cannot be used: there are {' and '.join(DTYPES)}")
    return dtype
