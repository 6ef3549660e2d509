"""One training run on disk: weights, their running average and the optimizer, in one safetensors file. No pickle."""

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

ModuleT = TypeVar("ModuleT", bound=nn.Module)


class Run(Generic[ModuleT]):
    """A model in training, with a learning rate that follows a cosine over `minutes` of training time.

    Time, not steps, drives the schedule, so that a run ends well on any GPU; it counts over all pieces of the run.
    """

    def __init__(self, model: ModuleT, *, minutes: float, peak_lr: float, average: float, path: Path) -> None:
        self.model, self.path, self.average = model, path, average
        self.minutes, self.peak_lr = minutes, peak_lr
        self.named = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.parameters = list(self.named.values())
        self.averaged = [p.detach().clone() for p in self.parameters]
        device = self.parameters[0].device
        self.lr = torch.tensor(0.0, device=device)
        cuda = device.type == "cuda"
        self.optimizer = torch.optim.AdamW(
            self.parameters,
            lr=self.lr if cuda else 0.0,
            weight_decay=0.01,
            betas=(0.9, 0.99),
            fused=cuda,
            capturable=cuda,
        )
        self.spent = 0.0  # minutes of training so far
        self.steps = 0
        if path.exists():
            self._load()

    @property
    def progress(self) -> float:
        return min(1.0, self.spent / self.minutes)

    def set_lr(self) -> None:
        """Warm up over 2 % of the run, then fall along a cosine to 2 % of the peak."""
        lr = self.peak_lr * min(1.0, (self.progress + 1e-4) / 0.02) * (0.51 + 0.49 * math.cos(math.pi * self.progress))
        self.lr.fill_(lr)
        if not self.lr.is_cuda:
            self.optimizer.param_groups[0]["lr"] = lr

    def update(self, loss: Tensor) -> None:
        """One optimizer step and one step of the running average; fit for capture in a CUDA graph."""
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            torch._foreach_lerp_(self.averaged, list[Tensor](self.parameters), 1 - self.average)

    def averaged_state(self) -> dict[str, Tensor]:
        """The averaged weights, and those that are not trained as they are, by the model's names."""
        fixed = {name: p.detach() for name, p in self.model.named_parameters()}
        return fixed | dict(zip(self.named, self.averaged, strict=True))

    def save(self) -> None:
        """Write everything needed to go on, atomically."""
        tensors: dict[str, Tensor] = {}
        for (name, parameter), average in zip(self.named.items(), self.averaged, strict=True):
            tensors[f"weight/{name}"] = parameter.detach()
            tensors[f"average/{name}"] = average
            for key, value in self.optimizer.state.get(parameter, {}).items():
                tensors[f"{key}/{name}"] = value
        save_tensors(self.path, tensors, {"spent": str(self.spent), "steps": str(self.steps)})

    def _load(self) -> None:
        tensors, metadata = load_tensors(self.path)
        self.spent, self.steps = float(metadata["spent"]), int(metadata["steps"])
        with torch.no_grad():
            for (name, parameter), average in zip(self.named.items(), self.averaged, strict=True):
                parameter.copy_(tensors[f"weight/{name}"])
                average.copy_(tensors[f"average/{name}"])
                keys = [key for key in ("step", "exp_avg", "exp_avg_sq") if f"{key}/{name}" in tensors]
                place = {"step": self.lr.device}
                self.optimizer.state[parameter] = {
                    key: tensors[f"{key}/{name}"].to(place.get(key, parameter.device)) for key in keys
                }


def train(
    runs: Iterable[Run[Any]],
    step: Callable[[], Mapping[str, Tensor]],
    *,
    piece_minutes: float,
    most_steps: float = math.inf,
) -> None:
    """Call `step` until the runs or this piece are over; print its numbers now and then; save at the end."""
    runs = list(runs)
    step()  # compiles, with a learning rate of zero, before the clock starts
    begun = last = time.monotonic()
    count = 0
    while (
        min(run.progress for run in runs) < 1 and time.monotonic() - begun < piece_minutes * 60 and count < most_steps
    ):
        for run in runs:
            run.set_lr()
            run.steps += 1
        numbers = step()
        count += 1
        if count % 50 == 0 and runs[0].lr.is_cuda:
            torch.cuda.synchronize()  # or the queue of launches would run ahead of the clock
        now = time.monotonic()
        for run in runs:
            run.spent += (now - last) / 60
        last = now
        if count % 500 == 0 or count in (1, 100):
            shown = {key: round(float(value), 5) for key, value in numbers.items()}
            spent = {
                "step": runs[0].steps,
                "minutes": round(runs[0].spent, 2),
                "ms": round((now - begun) / count * 1e3, 2),
            }
            print(json.dumps({"run": runs[0].path.stem} | spent | shown), flush=True)
    for run in runs:
        run.save()
    print(json.dumps({"finished": min(run.progress for run in runs) == 1}), flush=True)


def rounded(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """As they are shipped: bfloat16."""
    return {name: value.bfloat16() for name, value in tensors.items()}


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    save_file({k: v.detach().contiguous().cpu() for k, v in tensors.items()}, partial, metadata=dict(metadata or {}))
    partial.replace(path)


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    with safe_open(path, framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
