"""One trial: the clip is made by the real pipeline, written to a real MP4 file, read back from there and judged."""

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

import wanvideo
from benchmarks.judge.judge import Reading, judge, psnr
from benchmarks.judge.scene import ATTRIBUTES
from benchmarks.judge.trials import Given, Trial
from wanvideo.families.choose import named, usual_places
from wanvideo.families.wan import WanModel
from wanvideo.models.vae import WanVAE
from wanvideo.pipelines.arrival import to_rgb
from wanvideo.request import LoraPolicy, LoraUse
from wanvideo.weights.folder import ModelFolder
from wanvideo.weights.loading import load_vae

IMAGES: Final = {"first": 0, "last": -1}  # which frame each is
JUDGE: Final = ("judge.py", "shape.py", "scene.py", "draw.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a trial, as one line of JSON."""

    trial: str  # its name
    version: str  # of weights and judge
    seconds: float
    read: Mapping[str, str | None]  # the words that the judge read from the file
    overlap: Mapping[str, float]  # with each shape
    decibels: Mapping[str, float]  # PSNR to what was given: of the "first" and the "last" frame, or of the "clip"

    @property
    def reading(self) -> Reading:
        """The words of it; only for clips that were judged."""
        read = self.read
        return Reading(
            background=read["background"],
            colour=read["colour"],
            shape=read["shape"],
            motion=read["motion"],
            size=read["size"],
        )

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> "Outcome":
        """Raises ValueError if it is not a line that `to_json` made."""
        try:
            return cls(**json.loads(line))
        except TypeError as error:
            raise ValueError(f"not the outcome of a trial ({error}): {line[:80]}") from error


def attempt(trial: Trial, version: str, *, clips: Path | None = None) -> Outcome:
    """Do a trial with the default settings of its model; the MP4 file is kept if there is a folder for `clips`."""
    began = time.monotonic()
    if trial.given is Given.CLIP:
        reading, decibels = None, {"clip": _reconstruction(trial)}
    else:
        images = _images(trial)
        with TemporaryDirectory(prefix="judge-") as scratch:
            path = (clips or Path(scratch)) / f"{trial.model}-{trial.given.replace(' ', '-')}-{trial.seed}.mp4"
            frames = make_clip(trial, path, images)
        reading = judge(frames)
        decibels = {name: psnr(frames[IMAGES[name]], image) for name, image in images.items()}
    return Outcome(
        trial=trial.name,
        version=version,
        seconds=round(time.monotonic() - began, 2),
        read={name: getattr(reading, name) for name in ATTRIBUTES} if reading else {},
        overlap={name: round(share, 4) for name, share in (reading.overlap or {}).items()} if reading else {},
        decibels={name: round(value, 2) for name, value in decibels.items()},
    )


@cache
def version(model: str) -> str:
    """A mark that changes with the weights of the model and with the judge, though not with the code of the product."""
    folder = _folder(model)
    files = [*folder.vae.files, *folder.text_encoder.files]
    files += [file for part in folder.transformers for file in part.files]
    paths = [file.path for file in files] + [Path(__file__).with_name(name) for name in JUDGE]
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:12]


def _images(trial: Trial) -> dict[str, NDArray[np.uint8]]:
    """What the model is given, by name: frames [H, W, 3] of a drawn clip."""
    names = {Given.IMAGE: ["first"], Given.IMAGES: ["first", "last"]}.get(trial.given, [])
    return {name: trial.drawn()[IMAGES[name]] for name in names}


def make_clip(
    trial: Trial,
    path: Path,
    images: Mapping[str, NDArray[np.uint8]] = MappingProxyType({}),
    loras: tuple[LoraUse, ...] = (),
) -> NDArray[np.uint8]:
    """The frames [F, H, W, 3] of the finished file at `path`; a LoRA that cannot be used is an error."""
    pictures = {name: Image.fromarray(image) for name, image in images.items()}
    request = wanvideo.GenerationRequest(
        prompt=trial.scene.caption,
        seed=trial.seed,
        image=pictures.get("first"),
        end_image=pictures.get("last"),
        loras=loras,
        lora_policy=LoraPolicy.FAIL,
    )
    for _ in wanvideo.generate_to_file(_pipeline(trial.model), request, path):
        pass
    return wanvideo.read_video(path).frames


def _reconstruction(trial: Trial) -> float:
    """PSNR in dB of a drawn clip that went through the autoencoder of the trial's model, streamed as in generation."""
    drawn = trial.drawn()
    video = torch.from_numpy(drawn).permute(3, 0, 1, 2).unsqueeze(0).float().div(127.5).sub(1)
    vae = _vae(trial.model)
    with torch.no_grad():
        return psnr(to_rgb(vae.decode(vae.encode(video))).numpy(), drawn)


def _folder(model: str) -> ModelFolder:
    found = named(model, usual_places()).model
    assert isinstance(found, WanModel)
    return found.folder


@cache
def _pipeline(model: str) -> wanvideo.VideoPipeline:
    return wanvideo.load(model)


@cache
def _vae(model: str) -> WanVAE:
    return load_vae(_folder(model).vae, device=torch.device("cpu"), dtype=torch.float32)
