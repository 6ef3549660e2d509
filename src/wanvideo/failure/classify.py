"""What an error means: by its kind and its code first, by its words last. PyTorch's are known without importing it."""

import errno
import re
from typing import Final

from wanvideo.errors import WanVideoError

# cudaError_t. Source: NVIDIA CUDA Runtime API, data types.
_CUDA_OUT_OF_MEMORY: Final = frozenset({2})
_CUDA_DRIVER: Final = frozenset({35, 803, 804})  # too old, another one than the library, no forward compatibility
_CUDA_LOST: Final = frozenset({46, 100, 101})  # devices unavailable, no device, invalid device
_CUDA_UNSUPPORTED: Final = frozenset({209, 222})  # no kernel image, PTX of another version
# Memory that cannot be corrected, illegal addresses, assertions, failed launches: "the process must be terminated".
_CUDA_FATAL: Final = frozenset({214, 220, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719, 999})

_BY_WORDS: Final = (
    ("HOST_OOM", re.compile(r"DefaultCPUAllocator: (can't allocate|not enough) memory|Cannot allocate memory")),
    ("GPU_LOST", re.compile(r"GPU is lost|fallen off the bus|no CUDA-capable device|busy or unavailable")),
    ("DRIVER_MISMATCH", re.compile(r"driver version is insufficient|driver on your system is too old|driver mismatch")),
    ("GPU_UNSUPPORTED", re.compile(r"no kernel image is available|not compiled with CUDA enabled")),
    (
        "CUDA_FATAL",
        re.compile(
            r"illegal memory access|device-side assert|unspecified launch failure|misaligned address|"
            r"an illegal instruction|hardware stack error|uncorrectable (ECC|NVLink) error|"
            r"CUDNN_STATUS_EXECUTION_FAILED|CUBLAS_STATUS_EXECUTION_FAILED"
        ),
    ),
)

_OUT_OF_MEMORY: Final = {
    "load": "VRAM_OOM_LOAD", "encode": "VRAM_OOM_LOAD", "denoise": "VRAM_OOM_DENOISE", "decode": "VRAM_OOM_VAE",
}  # fmt: skip
_UNKNOWN: Final = {"load": "MODEL_LOAD_FAILED", "write": "ENCODE_FAILED"}  # by phase
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
STICKY: Final = frozenset({"CUDA_FATAL", "GPU_LOST"})  # the process can never use its GPU again


def code_of(error: BaseException, phase: str | None = None) -> str:
    if isinstance(error, WanVideoError):
        return _code_of_ours(error, phase)
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if isinstance(error, MemoryError):
        return "HOST_OOM"
    if "OutOfMemoryError" in kinds:  # torch.OutOfMemoryError
        return _OUT_OF_MEMORY.get(phase or "", "VRAM_OOM")
    if isinstance(error, OSError):
        if error.errno in _FULL:
            return "DISK_FULL"
        if error.errno == errno.ENOMEM:
            return "HOST_OOM"
    number = getattr(error, "error_code", None) if "AcceleratorError" in kinds else None
    if isinstance(number, int) and (code := _code_of_cuda(number, phase)) is not None:
        return code
    text = str(error)
    return next(
        (code for code, words in _BY_WORDS if words.search(text)), _UNKNOWN.get(phase or "", "INFERENCE_FAILED")
    )


def is_sticky(error: BaseException) -> bool:
    """Whether the process that met it can never use its GPU again."""
    chain: BaseException | None = error
    while chain is not None:
        if code_of(chain) in STICKY:
            return True
        chain = chain.__cause__ or chain.__context__
    return False


def _code_of_ours(error: WanVideoError, phase: str | None) -> str:
    if error.code != "VRAM_OOM":
        return error.code
    if "short_bytes" in error.facts or "needed_bytes" in error.facts:  # said by the plan
        return "VRAM_PREFLIGHT"
    return _OUT_OF_MEMORY.get(phase or "", error.code)


def _code_of_cuda(number: int, phase: str | None) -> str | None:
    if number in _CUDA_OUT_OF_MEMORY:
        return _OUT_OF_MEMORY.get(phase or "", "VRAM_OOM")
    for code, numbers in (
        ("GPU_LOST", _CUDA_LOST),
        ("DRIVER_MISMATCH", _CUDA_DRIVER),
        ("GPU_UNSUPPORTED", _CUDA_UNSUPPORTED),
        ("CUDA_FATAL", _CUDA_FATAL),
    ):
        if number in numbers:
            return code
    return None
