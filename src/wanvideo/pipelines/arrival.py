"""Finished frames on their way from the device to the host."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Self, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from wanvideo.errors import NonFiniteLatents

ItemT = TypeVar("ItemT")
RGB: TypeAlias = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class _Leaving:
    """Finished frames on their way to the host."""

    frames: Tensor  # uint8 [n, H, W, 3]
    finite: Tensor  # whether all numbers were

    @classmethod
    def of(cls, chunk: Tensor) -> Self:
        """chunk [1, 3, n, H, W] in [-1, 1]."""
        finite = torch.isfinite(chunk).all()
        return cls(to_rgb(chunk).to("cpu", non_blocking=True), finite.to("cpu", non_blocking=True))

    def arrived(self) -> Tensor:
        """Once the device is done. Raises NonFiniteLatents."""
        require_finite(bool(self.finite), "the autoencoder")
        return self.frames


def _keep(frames: Tensor) -> RGB:
    # What a GPU writes to has locked pages, which whoever keeps the frames has no use for.
    return (frames.clone() if frames.is_pinned() else frames).numpy()


def arriving(
    chunks: Iterable[Tensor | None], device: torch.device, take: Callable[[Tensor], RGB] = _keep
) -> Iterator[RGB | None]:
    """Chunks [1, 3, n, H, W] in [-1, 1] as frames on the host, uint8 RGB [n, H, W, 3]; None stays None.

    A GPU is at work on the next chunk when one arrives. take: what comes of frames, whose memory is not for keeping.
    Raises NonFiniteLatents.
    """
    leaving = (None if chunk is None else _Leaving.of(chunk) for chunk in chunks)
    for frames in one_ahead(leaving, device):
        yield None if frames is None else take(frames.arrived())


def one_ahead(items: Iterable[ItemT], device: torch.device) -> Iterator[ItemT]:
    """`items`, whose work `device` has done when they come out; a GPU is at work on the next one by then."""
    if device.type != "cuda":
        yield from items
        return
    waiting: tuple[ItemT, torch.cuda.Event] | None = None
    for item in items:
        done = torch.cuda.Event()
        done.record(torch.cuda.current_stream(device))
        if waiting is not None:
            waiting[1].synchronize()
            yield waiting[0]
        waiting = item, done
    if waiting is not None:
        waiting[1].synchronize()
        yield waiting[0]


def to_rgb(video: Tensor) -> Tensor:
    """Frames [1, 3, n, H, W] in [-1, 1] -> uint8 [n, H, W, 3]. Truncates, as the official code does."""
    return ((video[0] + 1) / 2 * 255).to(torch.uint8).permute(1, 2, 3, 0).contiguous()


def require_finite(finite: bool, what: str) -> None:
    """Raises NonFiniteLatents."""
    if not finite:
        raise NonFiniteLatents(
            f"{what} gave numbers that are not finite: check the model's files and get damaged ones again, "
            "or use dtype float32",
            suggestions=("dtype float32",),
        )
