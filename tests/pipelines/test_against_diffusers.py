"""Whole pipelines against diffusers, with the same weights, tokens, noise and noise levels.

Where the two define the same computation, the videos are the same. On purpose they differ in:
- the grid of noise levels: ours is the official one, so here ours is given to diffusers;
- pictures that have to be resized: ours is the official bicubic, see test_conditioning.py, so here none has to be;
- an empty negative prompt: it is really empty, as in diffusers; the official code puts its default in, as we do when
  there is none, see test_adapt.py;
- the known first frame of TI2V-5B: diffusers shows it to the network, the official code puts it back after every step,
  see test_denoise.py; the videos are the same.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from diffusers import (
    AutoencoderKLWan,
    UniPCMultistepScheduler,
    WanImageToVideoPipeline,
    WanPipeline,
    WanTransformer3DModel,
)
from PIL import Image
from torch import Tensor
from transformers import UMT5EncoderModel

from tests.pipelines.conftest import ask, picture
from wanvideo.pipelines.adapt import adapt
from wanvideo.pipelines.denoise import initial_noise
from wanvideo.pipelines.pipeline import Pipeline
from wanvideo.request import GenerationRequest, Solver
from wanvideo.sampling.schedule import Schedule, make_schedule
from wanvideo.weights.folder import open_folder, spec_of
from wanvideo.weights.loading import load_tokenizer

STEPS = 6


class GivenLevels(UniPCMultistepScheduler):  # type: ignore[misc]
    """diffusers' UniPC on a schedule of ours."""

    given: Schedule

    def set_timesteps(self, num_inference_steps: int, device: Any = None, **options: Any) -> None:
        super().set_timesteps(num_inference_steps, device=device, **options)
        self.sigmas = torch.tensor(self.given.sigmas)
        self.timesteps = torch.tensor(self.given.timesteps).long()


def reference(folder: Path, request: GenerationRequest) -> npt.NDArray[np.uint8]:
    """What diffusers makes of `request`, uint8 [F, H, W, 3]."""
    parts = open_folder(folder)
    kind = folder.name
    resolved = adapt(spec_of(parts), request)
    scheduler = GivenLevels(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=1.0)
    scheduler.given = make_schedule(resolved.solver, resolved.steps, resolved.shift)
    two = len(parts.transformers) == 2
    components: dict[str, Any] = {
        "tokenizer": None,
        "text_encoder": None,
        "vae": AutoencoderKLWan.from_pretrained(folder / "vae"),
        "scheduler": scheduler,
        "transformer": WanTransformer3DModel.from_pretrained(folder / "transformer"),
        "transformer_2": WanTransformer3DModel.from_pretrained(folder / "transformer_2") if two else None,
        "boundary_ratio": parts.boundary if two else None,
        "expand_timesteps": kind == "ti2v",
    }
    shape = (1, parts.vae.config.z_dim, 2, *(side // parts.vae.config.spatial_stride for side in (64, 64)))
    prompt, negative = embeddings(folder, resolved.prompt, resolved.negative_prompt)
    options: dict[str, Any] = {
        "prompt_embeds": prompt,
        "negative_prompt_embeds": negative,
        "height": resolved.height,
        "width": resolved.width,
        "num_frames": resolved.frames,
        "num_inference_steps": resolved.steps,
        "guidance_scale": resolved.guidance_high,
        "guidance_scale_2": resolved.guidance_low if two else None,
        "latents": initial_noise(shape, torch.Generator().manual_seed(resolved.seed)),
        "output_type": "np",
    }
    if request.image is None:
        pipeline = WanPipeline(**components)
    else:
        pipeline = WanImageToVideoPipeline(image_processor=None, image_encoder=None, **components)
        options |= {"image": request.image, "last_image": request.end_image}
    pipeline.set_progress_bar_config(disable=True)
    video = pipeline(**options).frames[0]
    return np.asarray(video * 255).astype(np.uint8)


@torch.no_grad()
def embeddings(folder: Path, *prompts: str) -> list[Tensor]:
    """By transformers' encoder, with zeros after the prompt, as diffusers' pipelines do it."""
    tokens = load_tokenizer(open_folder(folder)).encode(prompts)
    encoder = UMT5EncoderModel.from_pretrained(folder / "text_encoder")
    hidden = encoder(tokens.ids, tokens.mask.long()).last_hidden_state
    return list((hidden * tokens.mask.unsqueeze(-1)).split(1))


def psnr(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> float:
    """Decibels, of 8-bit values."""
    error = np.square(a.astype(float) - b).mean()
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


CASES: list[tuple[str, Image.Image | None, Image.Image | None]] = [
    ("t2v", None, None),
    ("i2v", picture(), None),
    ("i2v", picture(), picture(seed=4)),
    ("ti2v", None, None),
    ("ti2v", picture(), None),
]


@pytest.mark.parametrize(("kind", "image", "end_image"), CASES)
def test_the_videos_are_the_same(
    pipelines: dict[str, Pipeline], tiny: Path, kind: str, image: Image.Image | None, end_image: Image.Image | None
) -> None:
    request = ask(kind, image=image, end_image=end_image, steps=STEPS, negative_prompt="", shift=3.0)
    ours = pipelines[kind](request).frames
    theirs = reference(tiny / kind, request)
    assert theirs.shape == ours.shape
    assert psnr(ours, theirs) >= 60
    other = pipelines[kind](ask(kind, image=image, steps=STEPS, seed=8, negative_prompt="", shift=3.0)).frames
    assert psnr(other, theirs) < 40


def test_the_noise_levels_differ_and_ours_are_the_official_ones() -> None:
    theirs = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=12.0)
    theirs.set_timesteps(40)
    ours = make_schedule(Solver.UNIPC, 40, 12.0)
    official = (0.492880, 0.386847, 0.235110)  # the end of the list that the official code prints
    assert ours.sigmas[-4:-1] == pytest.approx(official, abs=1e-6)
    assert theirs.sigmas[-4:-1].tolist() == pytest.approx((0.496465, 0.391810, 0.242431), abs=1e-6)
    different = sum(a != b for a, b in zip(ours.timesteps, theirs.timesteps.tolist(), strict=True))
    assert different == 19
