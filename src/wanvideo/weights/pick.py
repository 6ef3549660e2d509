"""Which variant of a model suits a computer: decided from sizes alone, with the reason in words. No torch."""

from dataclasses import dataclass
from typing import Final, NamedTuple

from wanvideo.weights.entry import ModelEntry
from wanvideo.weights.variants import Variant

# Beside the weights on the GPU while denoising: 4.2 GB for TI2V-5B at 720p, 7.2 GB for A14B at 480p, less in blocks.
WORKING_BYTES: Final = 4 * 2**30
HOST_RESERVE: Final = 8 * 2**30  # of host memory, for the system and everything else that runs
DISK_RESERVE: Final = 2 * 2**30  # so that the download does not leave the disk full
LARGE_GPU: Final = 64 * 2**30  # such a GPU has a disk and a line for files twice as large as what it runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """What a computer has, in bytes. Who calls finds out; nothing is measured here."""

    gpu: str | None = None  # its name; None: there is none that can be used
    gpu_total: int = 0
    gpu_free: int = 0
    host_total: int
    host_available: int
    disk_free: int  # where downloads go


class Pick(NamedTuple):
    """A variant, and in half a sentence why."""

    variant: Variant
    reason: str


def pick_variant(model: ModelEntry, hardware: Hardware) -> Pick:
    """The variant of `model` to download where none is named.

    The best unquantised one whose transformers the GPU holds all at once; else the best quantised one whose
    transformers stay in host memory, so that no run waits for the disk; each time only what the disk has room for.
    Variants of unknown size are not picked. If nothing fits, the smallest is, and the reason says what is short:
    whether to go on is for the caller to say.

    What decides is the memory that there is, not what is free at the moment: files are downloaded for years.
    The model must have variants.
    """
    known = [
        variant for variant in model.variants if variant.nbytes is not None and variant.transformer_bytes is not None
    ]
    if not known:
        return Pick(model.variants[0], "the best there is: the sizes are not known beforehand")
    smallest = min(known, key=_download)
    room = [variant for variant in known if _download(variant) + DISK_RESERVE <= hardware.disk_free]
    if not room:
        return Pick(
            smallest,
            f"the smallest, {_gb(_download(smallest))}, but only {_gb(hardware.disk_free)} of the disk are free",
        )
    for variant in room:
        wasteful = variant.memory_scale < 1 and hardware.gpu_total < LARGE_GPU
        if not (variant.quantised or wasteful) and (reason := _on_gpu(variant, hardware)):
            return Pick(variant, reason)
    for variant in room:
        if variant.quantised and (reason := _in_host(variant, hardware)):
            return Pick(variant, reason)
    for variant in reversed(room):  # a model that is not published quantised, or a large GPU in a small computer
        if not variant.quantised and (reason := _in_host(variant, hardware)):
            return Pick(variant, reason)
    least = min(room, key=lambda variant: sum(variant.transformer_bytes or ()))
    return Pick(
        least,
        f"the smallest transformers, {_gb(_weights(least))}, but {_gb(hardware.host_total)} of memory are little: "
        "weights will be read from the disk again and again",
    )


def _on_gpu(variant: Variant, hardware: Hardware) -> str | None:
    """Why the GPU holds all transformers of `variant` beside what it works on; None if it does not."""
    if hardware.gpu is None or _weights(variant) + WORKING_BYTES > hardware.gpu_total:
        return None
    weights, memory = _gb(_weights(variant)), _gb(hardware.gpu_total)
    return f"{weights} of weights and the work on them fit into the {memory} of {hardware.gpu}"


def _in_host(variant: Variant, hardware: Hardware) -> str | None:
    """Why host memory holds all transformers of `variant`; None if it does not."""
    if _weights(variant) + HOST_RESERVE > hardware.host_total:
        return None
    weights = f"{_gb(_weights(variant))} of weights fit into the {_gb(hardware.host_total)} of memory"
    if hardware.gpu is None:
        return f"{weights}; there is no GPU, so it will be slow"
    return f"{weights}, from where they go through {hardware.gpu}"


def _download(variant: Variant) -> int:
    assert variant.nbytes is not None
    return variant.nbytes


def _weights(variant: Variant) -> int:
    assert variant.transformer_bytes is not None
    return sum(variant.transformer_bytes)


def _gb(nbytes: int) -> str:
    """As disks and downloads are measured: 10^9 bytes."""
    return f"{nbytes / 1e9:.0f} GB" if nbytes >= 10e9 else f"{nbytes / 1e9:.1f} GB"
