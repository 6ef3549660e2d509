"""Where a run stands while it denoises: a value, and a safetensors file that any later process can go on from."""

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Final

import torch
from PIL.Image import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor

from wanvideo.errors import IncompatibleState
from wanvideo.media.output import writing
from wanvideo.pipelines.settings import parameters
from wanvideo.request import ResolvedRequest
from wanvideo.sampling.schedule import Schedule
from wanvideo.sampling.solver import SolverState
from wanvideo.sampling.step_cache import StepCache

FORMAT: Final = "wanvideo.denoising"
SCHEMA: Final = 1

_AGAIN: Final = "start again without it"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checkpoint:
    """All that is needed to go on: solver state, state of the random generator, and whose run it is."""

    state: SolverState
    rng: Tensor  # uint8 [bytes], of a CPU generator
    fingerprint: Mapping[str, object]  # JSON values; see `fingerprint`

    @property
    def step(self) -> int:
        """Steps done."""
        return self.state.step

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a safetensors file, whole or not at all. Raises OutputNotWritable or DiskFull."""
        path, data = Path(path), self.to_bytes()
        part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        with writing(path):
            try:
                with part.open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)

    def to_bytes(self) -> bytes:
        """The content of that file."""
        cache = self.state.cache
        about = {
            "format": FORMAT,
            "schema": SCHEMA,
            "step": self.step,
            "reused": self.state.reused,
            "cache": None if cache is None else {"step": cache.step, "rate": cache.rate},
            "fingerprint": self.fingerprint,
        }
        return save(_tensors(self), metadata={"wanvideo": json.dumps(about)})

    @classmethod
    def from_bytes(cls, data: bytes) -> "Checkpoint":
        """What `to_bytes` gave. Raises IncompatibleState for anything else."""
        try:
            tensors = load(data)
            header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
            about = json.loads(header.get("__metadata__", {}).get("wanvideo", "{}"))
        except (SafetensorError, ValueError) as error:
            raise IncompatibleState(f"a saved run cannot be read ({error}): {_AGAIN}") from error
        return _checkpoint("the saved run", about, tensors)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Checkpoint":
        """Read a file that `save` wrote. Raises IncompatibleState if it is missing, damaged or something else."""
        try:
            with safe_open(path, framework="pt", device="cpu") as file:
                about = json.loads((file.metadata() or {}).get("wanvideo", "{}"))
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError, ValueError) as error:
            raise IncompatibleState(f"{os.fspath(path)} cannot be read as a saved run ({error}): {_AGAIN}") from error
        return _checkpoint(os.fspath(path), about, tensors)

    def require(self, fingerprint: Mapping[str, object], shape: tuple[int, ...], steps: int) -> None:
        """Raise IncompatibleState, which names what differs, unless this is a state of that run."""
        theirs = dict(self.fingerprint)
        different = [key for key in {**fingerprint, **theirs} if fingerprint.get(key) != theirs.get(key)]
        if different:
            key = different[0]
            said = f"{key} was {_shown(theirs.get(key))} and is now {_shown(fingerprint.get(key))}"
            raise IncompatibleState(
                f"the saved run was made with other settings ({', '.join(different)}; {said}): "
                f"resume with the same ones, or {_AGAIN}",
                facts={"different": ", ".join(different)},
            )
        tensors = [self.state.latents, *self.state.outputs]
        tensors += [] if self.state.corrected is None else [self.state.corrected]
        cache = self.state.cache
        tensors += [] if cache is None else [cache.latents, cache.velocity]
        fits = all(tensor.shape == shape and tensor.dtype == torch.float32 for tensor in tensors)
        fits &= 0 <= self.step <= steps and (cache is None or 0 <= cache.step < self.step)
        if not fits or not all(bool(torch.isfinite(t).all()) for t in tensors):
            raise IncompatibleState(f"the saved run holds tensors that do not fit its settings: {_AGAIN}")

    def to(self, device: torch.device) -> SolverState:
        """The solver's state on `device`."""
        state = self.state
        return replace(
            state,
            latents=state.latents.to(device),
            outputs=tuple(output.to(device) for output in state.outputs),
            corrected=None if state.corrected is None else state.corrected.to(device),
            cache=None if state.cache is None else state.cache.to(device),
        )


def fingerprint(
    request: ResolvedRequest, schedule: Schedule, image: Image | None, end_image: Image | None
) -> dict[str, object]:
    """What must be equal for two runs to be the same: all settings, the noise levels, and the pixels of pictures."""
    return {
        **parameters(request),
        "image": _digest(image),
        "end_image": _digest(end_image),
        "noise_levels": list(schedule.sigmas),
        "timesteps": list(schedule.timesteps),
    }


def _digest(image: Image | None) -> str | None:
    if image is None:
        return None
    return sha256(f"{image.mode} {image.width}x{image.height} ".encode() + image.tobytes()).hexdigest()


def _tensors(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """By their names in the file, on the CPU and without sharing memory."""
    state = checkpoint.state
    tensors = {"latents": state.latents, "rng": checkpoint.rng}
    tensors |= {f"output.{i}": output for i, output in enumerate(state.outputs)}
    if state.corrected is not None:
        tensors["corrected"] = state.corrected
    if state.cache is not None:
        tensors |= {"cache.latents": state.cache.latents, "cache.velocity": state.cache.velocity}
    # Cloned, since safetensors stores no tensors that share memory.
    dense = torch.contiguous_format
    return {name: tensor.detach().cpu().clone(memory_format=dense) for name, tensor in tensors.items()}


def _checkpoint(path: str, about: object, tensors: Mapping[str, Tensor]) -> Checkpoint:
    """Check what a file said of itself and what it held."""
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise IncompatibleState(f"{path} is no saved run: {_AGAIN}")
    step, known, reused = about.get("step"), about.get("fingerprint"), about.get("reused", 0)
    outputs = [name for name in ("output.0", "output.1") if name in tensors]
    learnt = about.get("cache")
    expected = {"latents", "rng", *outputs} | ({"corrected"} & tensors.keys())
    expected |= set() if learnt is None else {"cache.latents", "cache.velocity"}
    if about.get("schema") != SCHEMA:
        raise IncompatibleState(f"{path} was saved by another version (schema {about.get('schema')!r}): {_AGAIN}")
    named = _is_cache(learnt) and tensors.keys() == expected
    if not named or not isinstance(step, int) or not isinstance(reused, int) or not isinstance(known, dict):
        raise IncompatibleState(f"{path} is damaged: {_AGAIN}")
    cache = None
    if learnt is not None:
        cache = StepCache(**learnt, latents=tensors["cache.latents"], velocity=tensors["cache.velocity"])
    state = SolverState(
        step=step,
        latents=tensors["latents"],
        outputs=tuple(tensors[name] for name in outputs),
        corrected=tensors.get("corrected"),
        cache=cache,
        reused=reused,
    )
    return Checkpoint(state=state, rng=tensors["rng"], fingerprint=known)


def _is_cache(about: object) -> bool:
    """Whether a file may say this of the step cache: None, or what is to know beside its tensors."""
    match about:
        case None:
            return True
        case {"step": int(), "rate": None | float(), **rest}:
            return not rest
    return False


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
