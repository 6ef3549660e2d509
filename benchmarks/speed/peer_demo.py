"""A pipeline of diffusers around the weights of one of ours, for small models on a CPU."""

from collections.abc import Callable
from typing import Any

import diffusers
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from benchmarks.speed.peer import peer_text_encoder, peer_transformer, peer_vae
from wanvideo.pipelines.adapt import adapt
from wanvideo.pipelines.denoise import initial_noise
from wanvideo.pipelines.pipeline import Pipeline
from wanvideo.request import GenerationRequest, ResolvedRequest
from wanvideo.sampling.guidance import Expert
from wanvideo.sampling.schedule import Schedule, make_schedule
from wanvideo.weights.loading import load_tokenizer


class GivenLevels(diffusers.UniPCMultistepScheduler):  # type: ignore[misc]
    """diffusers' UniPC on a schedule of ours, since its own grid of noise levels is another."""

    given: Schedule

    def set_timesteps(self, num_inference_steps: int, device: Any = None, **options: Any) -> None:
        super().set_timesteps(num_inference_steps, device=device, **options)
        self.sigmas = torch.tensor(self.given.sigmas)
        self.timesteps = torch.tensor(self.given.timesteps).long()


def video_maker(ours: Pipeline, request: GenerationRequest) -> Callable[[], npt.NDArray[np.uint8]]:
    """Makes the video of `request` anew at each call: uint8 [F, H, W, 3]."""
    parts, spec, resolved = ours._parts, ours.spec, adapt(ours.spec, request)
    two = spec.experts == 2
    scheduler = GivenLevels(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=1.0)
    scheduler.given = make_schedule(resolved.solver, resolved.steps, resolved.shift)
    components: dict[str, Any] = {
        "tokenizer": None,
        "text_encoder": None,
        "vae": peer_vae(parts.vae()),
        "scheduler": scheduler,
        "transformer": peer_transformer(parts.transformer(Expert.HIGH)),
        "transformer_2": peer_transformer(parts.transformer(Expert.LOW)) if two else None,
        "boundary_ratio": spec.boundary if two else None,
        "expand_timesteps": spec.image_in_latents,
    }
    options = _options(ours, resolved, two)
    if request.image is None:
        pipeline = diffusers.WanPipeline(**components)
    else:
        pipeline = diffusers.WanImageToVideoPipeline(image_processor=None, image_encoder=None, **components)
        options["image"] = request.image
    pipeline.set_progress_bar_config(disable=True)
    tokens = load_tokenizer(parts.folder)
    encoder = peer_text_encoder(parts.text_encoder())

    @torch.no_grad()
    def embed(*prompts: str) -> list[Tensor]:
        """With zeros after the prompt, as diffusers' pipelines do it."""
        read = tokens.encode(prompts)
        hidden = encoder(read.ids, read.mask.long()).last_hidden_state
        return list((hidden * read.mask.unsqueeze(-1)).split(1))

    def make() -> npt.NDArray[np.uint8]:
        prompt, negative = embed(resolved.prompt, resolved.negative_prompt)
        video = pipeline(prompt_embeds=prompt, negative_prompt_embeds=negative, **options).frames[0]
        return np.asarray(video * 255).astype(np.uint8)

    return make


def _options(ours: Pipeline, resolved: ResolvedRequest, two: bool) -> dict[str, Any]:
    shape = ours._latent_shape(resolved)
    return {
        "height": resolved.height,
        "width": resolved.width,
        "num_frames": resolved.frames,
        "num_inference_steps": resolved.steps,
        "guidance_scale": resolved.guidance_high,
        "guidance_scale_2": resolved.guidance_low if two else None,
        "latents": initial_noise(shape, torch.Generator().manual_seed(resolved.seed)),
        "output_type": "np",
    }
