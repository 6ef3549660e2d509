"""The models that wanvideo knows, with their defaults and limits. No torch, no files.

Numbers come from the official `wan/configs` and `generate.py` of Wan 2.2 and Wan 2.1; the demo models are our own.
"""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

from wanvideo.errors import UnknownModel
from wanvideo.models import config as arch
from wanvideo.models.config import TextEncoderConfig, TransformerConfig, VAEConfig
from wanvideo.request import Solver, Task
from wanvideo.weights.variants import Part

# `sample_neg_prompt` of the official `wan/configs/shared_config.py`.
NEGATIVE_PROMPT: Final = (
    "色调艳丽，过曝，静态，细节模糊不清，字幕，风格，作品，画作，画面，静止，整体发灰，最差质量，低质量，JPEG压缩残留，"
    "丑陋的，残缺的，多余的手指，画得不好的手部，画得不好的脸部，畸形的，毁容的，形态畸形的肢体，手指融合，"
    "静止不动的画面，杂乱的背景，三条腿，背景人很多，倒着走"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What a request gets that does not say otherwise."""

    width: int  # pixels; with an image, only the area counts
    height: int
    frames: int
    fps: int
    steps: int
    shift: float
    guidance_high: float  # of the high-noise expert, or of the only transformer
    guidance_low: float
    negative_prompt: str = NEGATIVE_PROMPT
    solver: Solver = Solver.UNIPC


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Which sizes and lengths are legal. Frames are always 4 n + 1."""

    size_multiple: int  # of width and height: the VAE's stride times the transformer's patch
    max_area: int  # pixels; the largest that the model was trained on
    max_frames: int  # twice the length that the model was trained on; beyond that, clips fall apart
    min_side: int = 64  # pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """One model: all its parts, experts included, under one name."""

    id: str
    title: str
    family: str = "wan"
    tasks: frozenset[Task]
    transformer: TransformerConfig
    vae: VAEConfig | None  # None: only the config.json beside the shipped weights says
    text_encoder: TextEncoderConfig | None
    experts: int = 1
    boundary: float | None = None  # of two experts: the high-noise one runs while timestep / 1000 >= boundary
    defaults: Defaults
    limits: Limits
    takes_end_image: bool = False
    image_in_latents: bool = False  # a first frame replaces the first latent, which gets timestep 0
    repo_id: str | None  # Diffusers layout, on the Hugging Face hub
    licence: str = "Apache-2.0"
    good_at: str
    needs: str
    demo: bool = False
    # Folders of the parts, relative to the folder of all demo models. Empty: each lies where Diffusers puts it.
    parts: Mapping[Part, str] = field(default_factory=lambda: MappingProxyType({}), hash=False)

    @property
    def takes_image(self) -> bool:
        """A first frame may be given."""
        return Task.IMAGE_TO_VIDEO in self.tasks

    @property
    def requires_image(self) -> bool:
        return self.takes_image and Task.TEXT_TO_VIDEO not in self.tasks


_TEXT = frozenset({Task.TEXT_TO_VIDEO})
_IMAGE = frozenset({Task.IMAGE_TO_VIDEO})

_720P = 1280 * 720
# Of the sizes that the official code accepts, the small one is the default: 720p costs four times as much.
_A14B_T2V = Defaults(
    width=832, height=480, frames=81, fps=16, steps=40, shift=12.0, guidance_high=4.0, guidance_low=3.0
)
_A14B_LIMITS = Limits(size_multiple=16, max_area=_720P, max_frames=161)
# Memory: the README of Wan 2.2. Disk: 12 float32 shards an expert, as published.
_A14B_NEEDS = "80 GB of GPU memory as the official code runs it; 126 GB of disk"
# The official 2.1 `generate.py`; its text model has no setting of its own for 480p.
_WAN21 = replace(_A14B_T2V, steps=50, shift=5.0, guidance_high=5.0, guidance_low=5.0)

T2V_A14B = ModelSpec(
    id="t2v-A14B",
    title="Wan 2.2 T2V A14B",
    tasks=_TEXT,
    transformer=arch.T2V_A14B,
    vae=arch.VAE_2_1,
    text_encoder=arch.UMT5_XXL,
    experts=2,
    boundary=0.875,
    defaults=_A14B_T2V,
    limits=_A14B_LIMITS,
    repo_id="Wan-AI/Wan2.2-T2V-A14B-Diffusers",
    good_at="the best video from text, 480p or 720p, 5 seconds",
    needs=_A14B_NEEDS,
)
I2V_A14B = ModelSpec(
    id="i2v-A14B",
    title="Wan 2.2 I2V A14B",
    tasks=_IMAGE,
    transformer=arch.I2V_A14B,
    vae=arch.VAE_2_1,
    text_encoder=arch.UMT5_XXL,
    experts=2,
    boundary=0.9,
    defaults=replace(_A14B_T2V, shift=5.0, guidance_high=3.5, guidance_low=3.5),
    limits=_A14B_LIMITS,
    takes_end_image=True,
    repo_id="Wan-AI/Wan2.2-I2V-A14B-Diffusers",
    good_at="the best video from a first frame, and from first and last, 480p or 720p, 5 seconds",
    needs=_A14B_NEEDS,
)
TI2V_5B = ModelSpec(
    id="ti2v-5B",
    title="Wan 2.2 TI2V 5B",
    tasks=_TEXT | _IMAGE,
    transformer=arch.TI2V_5B,
    vae=arch.VAE_2_2,
    text_encoder=arch.UMT5_XXL,
    defaults=Defaults(
        width=1280, height=704, frames=121, fps=24, steps=50, shift=5.0, guidance_high=5.0, guidance_low=5.0
    ),
    limits=Limits(size_multiple=32, max_area=1280 * 704, max_frames=241),
    image_in_latents=True,
    repo_id="Wan-AI/Wan2.2-TI2V-5B-Diffusers",
    good_at="fast 720p video at 24 fps from text or a first frame, 5 seconds",
    needs="24 GB of GPU memory as the official code runs it; 34 GB of disk",
)
WAN21_T2V_1_3B = ModelSpec(
    id="wan2.1-t2v-1.3B",
    title="Wan 2.1 T2V 1.3B",
    tasks=_TEXT,
    transformer=arch.T2V_1_3B,
    vae=arch.VAE_2_1,
    text_encoder=arch.UMT5_XXL,
    defaults=_WAN21,
    limits=_A14B_LIMITS,
    repo_id="Wan-AI/Wan2.1-T2V-1.3B-Diffusers",
    good_at="video from text on small GPUs, 480p, 5 seconds; less steady at 720p",
    needs="8.2 GB of GPU memory as the official code runs it; 29 GB of disk",
)
WAN21_T2V_14B = ModelSpec(
    id="wan2.1-t2v-14B",
    title="Wan 2.1 T2V 14B",
    tasks=_TEXT,
    transformer=arch.T2V_14B,
    vae=arch.VAE_2_1,
    text_encoder=arch.UMT5_XXL,
    defaults=_WAN21,
    limits=_A14B_LIMITS,
    repo_id="Wan-AI/Wan2.1-T2V-14B-Diffusers",
    good_at="video from text with one transformer, 480p or 720p, 5 seconds; t2v-A14B is its better successor",
    needs="80 GB of GPU memory as the official code runs it",
)


def _demo(base: ModelSpec, folder: str, *, in_channels: int, own_vae: bool) -> ModelSpec:
    """The miniature of `base` that ships with the package."""
    parts = {
        Part.TRANSFORMER: f"{folder}/transformer",
        Part.VAE: f"{folder}/vae" if own_vae else "shared/vae",
        Part.TEXT_ENCODER: "shared/text_encoder",
        Part.TOKENIZER: "shared/tokenizer",
    }
    if base.experts == 2:
        parts[Part.TRANSFORMER_2] = f"{folder}/transformer_2"
    return replace(
        base,
        id=folder,
        title=f"Demo of {base.title}",
        transformer=TransformerConfig(
            in_channels=in_channels,
            out_channels=base.transformer.out_channels,
            num_heads=4,
            num_layers=8,
            ffn_dim=512,
            head_dim=32,
            text_dim=128,
        ),
        vae=None,
        text_encoder=None,
        defaults=Defaults(
            width=128,
            height=128,
            frames=17,
            fps=8,
            steps=20,
            shift=3.0,
            guidance_high=2.0,
            guidance_low=2.0,
            negative_prompt="",
        ),
        limits=replace(base.limits, max_area=128 * 128, max_frames=33),
        repo_id=None,
        good_at="trying things out: coloured shapes that move, 128x128, 2 seconds",
        needs="any computer",
        demo=True,
        parts=MappingProxyType(parts),
    )


T2V_A14B_DEMO = _demo(T2V_A14B, "t2v-A14B-demo", in_channels=16, own_vae=False)
I2V_A14B_DEMO = _demo(I2V_A14B, "i2v-A14B-demo", in_channels=36, own_vae=False)
TI2V_5B_DEMO = _demo(TI2V_5B, "ti2v-5B-demo", in_channels=48, own_vae=True)

MODELS: Final = (
    T2V_A14B,
    I2V_A14B,
    TI2V_5B,
    WAN21_T2V_1_3B,
    WAN21_T2V_14B,
    T2V_A14B_DEMO,
    I2V_A14B_DEMO,
    TI2V_5B_DEMO,
)


def _key(name: str) -> str:
    """One spelling for all of `T2V-A14B`, `wan2.2_t2v_a14b`, `Wan-AI/Wan2.2-T2V-A14B-Diffusers`."""
    key = re.sub(r"[\s._-]+", "-", name.casefold().strip().removeprefix("wan-ai/")).strip("-")
    return re.sub(r"^wan-?2-?([12])-", r"wan2\1-", key.removesuffix("-diffusers"))


def _names(spec: ModelSpec) -> frozenset[str]:
    """Every name of a model. The version may be left out for Wan 2.2."""
    key = _key(spec.id)
    return frozenset({key} if key.startswith("wan") else {key, f"wan22-{key}"})


def _nearest(key: str) -> tuple[str, ...]:
    """Ids that look like `key`, best first, at most three."""
    # Without its version, a 2.1 name is no name, but it shows what was meant.
    names = {name.removeprefix("wan21-"): spec.id for spec in MODELS for name in _names(spec)}
    close = difflib.get_close_matches(key[:100], names, n=5, cutoff=0.7)
    if not close and key:
        close = [name for name in names if key in name]
    return tuple(dict.fromkeys(names[name] for name in close))[:3]


def resolve(name: str) -> ModelSpec:
    """The model of that name, in any of the spellings in use.

    Raises UnknownModel, with the names that come nearest, rather than guess.
    """
    key = _key(name)
    for spec in MODELS:
        if key in _names(spec):
            return spec
    shown = name if len(name) <= 100 else f"{name[:100]}..."
    near = _nearest(key)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(spec.id for spec in MODELS)}"
    raise UnknownModel(f"no model is called {shown!r}: {hint}", suggestions=near, facts={"model": shown})
