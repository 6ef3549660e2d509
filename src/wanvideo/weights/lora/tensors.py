"""LoRA files -> tensors, for one transformer and the strengths of one request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from wanvideo.errors import LoraCorrupt
from wanvideo.weights.headers import TensorInfo
from wanvideo.weights.lora.file import LoraFile, LoraTarget

_CHUNK: Final = 1 << 24  # numbers checked at a time


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Delta:
    """What is to be added to one module, float32 on the CPU; scales and strengths are already in it."""

    down: Tensor | None = None  # [r, in, ...]; of several LoRAs, one below the other
    up: Tensor | None = None  # [out, r]
    diff: Tensor | None = None  # of the weight, or of the parameter
    diff_bias: Tensor | None = None

    def weight(self) -> Tensor | None:
        """The whole difference of the weight, in its shape; None if there is none."""
        if self.down is None or self.up is None:
            return self.diff
        product = (self.up @ self.down.flatten(1)).reshape(-1, *self.down.shape[1:])
        return product if self.diff is None else product + self.diff


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one LoRA has for one transformer, and how strong it is to be."""

    file: LoraFile
    targets: tuple[LoraTarget, ...]
    strength: float


def read_deltas(shares: Sequence[Share]) -> Mapping[str, Delta]:
    """What all of them together add, by the official names of modules. At strength 0 a LoRA is not even opened.

    Raises LoraCorrupt if a file can no longer be read.
    """
    deltas: dict[str, Delta] = {}
    for share in shares:
        if share.strength == 0:
            continue
        tensors = _read(share.file, [info for target in share.targets for info in target.tensors])
        for target in share.targets:
            delta = _delta(target, tensors, share.strength)
            before = deltas.get(target.module)
            deltas[target.module] = delta if before is None else _together(before, delta)
    return deltas


def require_finite(file: LoraFile) -> None:
    """Raises LoraCorrupt if a tensor holds a NaN or an infinity, with its name."""
    for target in file.targets:
        for info, tensor in zip(target.tensors, _read(file, target.tensors).values(), strict=True):
            if not all(bool(torch.isfinite(part).all()) for part in tensor.flatten().split(_CHUNK)):
                raise LoraCorrupt(
                    f"{file.path}: {info.name} holds numbers that are not finite, which would make every frame black: "
                    "get the file again; if it is the same, the training went wrong",
                    facts={"path": str(file.path), "tensor": info.name},
                )


def _delta(target: LoraTarget, tensors: Mapping[str, Tensor], strength: float) -> Delta:
    up = None if target.up is None else tensors[target.up.name].float().flatten(1) * (target.scale * strength)
    return Delta(
        down=None if target.down is None else tensors[target.down.name].float(),
        up=up,
        diff=_scaled(target.diff, tensors, strength),
        diff_bias=_scaled(target.diff_bias, tensors, strength),
    )


def _scaled(info: TensorInfo | None, tensors: Mapping[str, Tensor], strength: float) -> Tensor | None:
    """A whole difference knows no alpha."""
    return None if info is None else tensors[info.name].float() * strength


def _together(a: Delta, b: Delta) -> Delta:
    """One delta for two LoRAs: the ranks add up, so that it stays two thin matrices."""
    return Delta(
        down=_joined(a.down, b.down, 0),
        up=_joined(a.up, b.up, 1),
        diff=_sum(a.diff, b.diff),
        diff_bias=_sum(a.diff_bias, b.diff_bias),
    )


def _joined(a: Tensor | None, b: Tensor | None, dim: int) -> Tensor | None:
    there = [tensor for tensor in (a, b) if tensor is not None]
    return torch.cat(there, dim) if there else None


def _sum(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    if a is None or b is None:
        return b if a is None else a
    return a + b


def _read(file: LoraFile, infos: Sequence[TensorInfo]) -> dict[str, Tensor]:
    """Tensors by name, in the mapped file."""
    try:
        with safe_open(file.path, framework="pt", device="cpu") as mapped:
            return {info.name: mapped.get_tensor(info.name) for info in infos}
    except (SafetensorError, OSError) as error:
        raise LoraCorrupt(f"{file.path} cannot be read ({error}): get it again") from error
