"""The models that wanvideo knows, with their defaults and limits. No torch, no files.

Numbers come from the official `wan/configs` and `generate.py` of Wan 2.2 and Wan 2.1; the demo models are our own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

from wanvideo.models import config as arch
from wanvideo.models.config import TextEncoderConfig, TransformerConfig, VAEConfig
from wanvideo.request import Solver, Task
from wanvideo.weights import names, wan_files
from wanvideo.weights.entry import Defaults, Limits, ModelEntry
from wanvideo.weights.variants import Part, PresetLora

__all__ = ["MODELS", "NEGATIVE_PROMPT", "Defaults", "Limits", "ModelSpec", "base_of", "resolve"]

# `sample_neg_prompt` of the official `wan/configs/shared_config.py`.
NEGATIVE_PROMPT: Final = (
    "色调艳丽，过曝，静态，细节模糊不清，字幕，风格，作品，画作，画面，静止，整体发灰，最差质量，低质量，JPEG压缩残留，"
    "丑陋的，残缺的，多余的手指，画得不好的手部，画得不好的脸部，畸形的，毁容的，形态畸形的肢体，手指融合，"
    "静止不动的画面，杂乱的背景，三条腿，背景人很多，倒着走"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec(ModelEntry):
    """One Wan model: a catalog entry with the architecture of its networks."""

    family: str = "wan"
    transformer: TransformerConfig
    vae: VAEConfig | None  # None: only the config.json beside the shipped weights says
    text_encoder: TextEncoderConfig | None
    boundary: float | None = None  # of two experts: the high-noise one runs while timestep / 1000 >= boundary
    licence: str = "Apache-2.0"
    # Folders of the parts, relative to the folder of all demo models. Empty: each lies where Diffusers puts it.
    parts: Mapping[Part, str] = field(default_factory=lambda: MappingProxyType({}), hash=False)


def _names(version: str, *kinds: str) -> tuple[str, ...]:
    """The names in use for `kinds` of Wan `version`, such as Wan-AI/Wan2.2-T2V-A14B-Diffusers. 2.2 may be left out."""
    digits = version.replace(".", "")
    prefixes = [
        f"{owner}Wan{space}{number}-"
        for owner in ("", "Wan-AI/")
        for space in ("", "-")
        for number in (version, digits)
    ]
    if version == "2.2":
        prefixes.append("")
    return tuple(f"{prefix}{kind}{suffix}" for kind in kinds for prefix in prefixes for suffix in ("", "-Diffusers"))


_TEXT = frozenset({Task.TEXT_TO_VIDEO})
_IMAGE = frozenset({Task.IMAGE_TO_VIDEO})

_720P = 1280 * 720
# The sizes that the official code accepts, both ways round.
_BOTH_SIZES = ((832, 480), (480, 832), (1280, 720), (720, 1280))
# Of the sizes that the official code accepts, the small one is the default: 720p costs four times as much.
_A14B_T2V = Defaults(
    width=832,
    height=480,
    frames=81,
    fps=16,
    steps=40,
    shift=12.0,
    guidance_high=4.0,
    guidance_low=3.0,
    negative_prompt=NEGATIVE_PROMPT,
)
_A14B_LIMITS = Limits(size_multiple=16, max_area=_720P, max_frames=161)
# Memory: the README of Wan 2.2. Disk: 12 float32 shards an expert, as published.
_A14B_NEEDS = "80 GB of GPU memory as the official code runs it; 126 GB of disk"
# The official 2.1 `generate.py`; its text model has no setting of its own for 480p.
_WAN21 = replace(_A14B_T2V, steps=50, shift=5.0, guidance_high=5.0, guidance_low=5.0)

T2V_A14B = ModelSpec(
    id="t2v-A14B",
    title="Wan 2.2 T2V A14B",
    aliases=(*_names("2.2", "T2V-A14B"), "Wan2.2-T2V-14B"),  # the second is ComfyUI's name
    tasks=_TEXT,
    transformer=arch.T2V_A14B,
    vae=arch.VAE_2_1,
    text_encoder=arch.UMT5_XXL,
    experts=2,
    boundary=0.875,
    defaults=_A14B_T2V,
    limits=_A14B_LIMITS,
    repo_id="Wan-AI/Wan2.2-T2V-A14B-Diffusers",
    variants=wan_files.T2V_A14B,
    usual_sizes=_BOTH_SIZES,
    takes_loras=True,
    good_at="the best video from text, 480p or 720p, 5 seconds",
    needs=_A14B_NEEDS,
    rank=50,
)
I2V_A14B = ModelSpec(
    id="i2v-A14B",
    title="Wan 2.2 I2V A14B",
    aliases=(*_names("2.2", "I2V-A14B"), "Wan2.2-I2V-14B"),
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
    variants=wan_files.I2V_A14B,
    usual_sizes=_BOTH_SIZES,
    takes_loras=True,
    good_at="the best video from a first frame, and from first and last, 480p or 720p, 5 seconds",
    needs=_A14B_NEEDS,
    rank=40,
)
TI2V_5B = ModelSpec(
    id="ti2v-5B",
    title="Wan 2.2 TI2V 5B",
    aliases=_names("2.2", "TI2V-5B"),
    tasks=_TEXT | _IMAGE,
    transformer=arch.TI2V_5B,
    vae=arch.VAE_2_2,
    text_encoder=arch.UMT5_XXL,
    defaults=Defaults(
        width=1280,
        height=704,
        frames=121,
        fps=24,
        steps=50,
        shift=5.0,
        guidance_high=5.0,
        guidance_low=5.0,
        negative_prompt=NEGATIVE_PROMPT,
    ),
    limits=Limits(size_multiple=32, max_area=1280 * 704, max_frames=241),
    image_in_latents=True,
    repo_id="Wan-AI/Wan2.2-TI2V-5B-Diffusers",
    variants=wan_files.TI2V_5B,
    usual_sizes=((1280, 704), (704, 1280)),
    takes_loras=True,
    good_at="fast 720p video at 24 fps from text or a first frame, 5 seconds",
    needs="24 GB of GPU memory as the official code runs it; 34 GB of disk",
    rank=30,
)
WAN21_T2V_1_3B = ModelSpec(
    id="wan2.1-t2v-1.3B",
    title="Wan 2.1 T2V 1.3B",
    aliases=_names("2.1", "T2V-1.3B"),
    tasks=_TEXT,
    transformer=arch.T2V_1_3B,
    vae=arch.VAE_2_1,
    text_encoder=arch.UMT5_XXL,
    defaults=_WAN21,
    limits=_A14B_LIMITS,
    repo_id="Wan-AI/Wan2.1-T2V-1.3B-Diffusers",
    variants=wan_files.WAN21_T2V_1_3B,
    usual_sizes=((832, 480), (480, 832)),
    takes_loras=True,
    good_at="video from text on small GPUs, 480p, 5 seconds; less steady at 720p",
    needs="8.2 GB of GPU memory as the official code runs it; 29 GB of disk",
    rank=10,
)
WAN21_T2V_14B = ModelSpec(
    id="wan2.1-t2v-14B",
    title="Wan 2.1 T2V 14B",
    aliases=_names("2.1", "T2V-14B"),
    tasks=_TEXT,
    transformer=arch.T2V_14B,
    vae=arch.VAE_2_1,
    text_encoder=arch.UMT5_XXL,
    defaults=_WAN21,
    limits=_A14B_LIMITS,
    repo_id="Wan-AI/Wan2.1-T2V-14B-Diffusers",
    variants=wan_files.WAN21_T2V_14B,
    usual_sizes=_BOTH_SIZES,
    takes_loras=True,
    good_at="video from text with one transformer, 480p or 720p, 5 seconds; t2v-A14B is its better successor",
    needs="80 GB of GPU memory as the official code runs it",
    rank=20,
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
        aliases=_names("2.2", folder),
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
        ),
        limits=replace(base.limits, max_area=128 * 128, max_frames=33),
        usual_sizes=((128, 128),),
        repo_id=None,
        variants=(),
        good_at="trying things out: coloured shapes that move, 128x128, 2 seconds",
        needs="any computer",
        rank=0,
        demo=True,
        parts=MappingProxyType(parts),
    )


def _lightning(base: ModelSpec, kind: str, lora: PresetLora) -> ModelSpec:
    """`base` in 4 steps without guidance, by a LoRA for each expert.

    The noise levels are 4 even steps at shift 5. Whichever boundary the base has, the high-noise expert takes the first
    two: that is where LightX2V, which trained the LoRAs, changes experts. Source: its `configs/wan22` and ComfyUI's
    workflows.
    """
    tails = ("lightning", "lightx2v", "4step", "4steps")
    return replace(
        base,
        id=f"{base.id}-lightning",
        title=f"{base.title}, Lightning 4 steps",
        aliases=_names("2.2", *(f"{kind}-{tail}" for tail in tails)),
        defaults=replace(
            base.defaults,
            steps=4,
            shift=5.0,
            guidance_high=1.0,
            guidance_low=1.0,
            solver=Solver.EULER,
            sigmas=(1.0, 0.9375, 5 / 6, 0.625),
        ),
        base=base.id,
        loras=(lora,),
        good_at=f"{base.good_at}, in a twentieth of the time; less motion and variety than {base.id}",
        needs=f"what {base.id} needs, and 2.5 GB of LoRA files",
        rank=0,
    )


T2V_A14B_LIGHTNING = _lightning(T2V_A14B, "T2V-A14B", wan_files.T2V_LIGHTNING)
I2V_A14B_LIGHTNING = _lightning(I2V_A14B, "I2V-A14B", wan_files.I2V_LIGHTNING)
# FastWan2.2-TI2V-5B is left out: its 3 steps add new noise between them, which none of our solvers does.


T2V_A14B_DEMO = _demo(T2V_A14B, "t2v-A14B-demo", in_channels=16, own_vae=False)
I2V_A14B_DEMO = _demo(I2V_A14B, "i2v-A14B-demo", in_channels=36, own_vae=False)
TI2V_5B_DEMO = _demo(TI2V_5B, "ti2v-5B-demo", in_channels=48, own_vae=True)

MODELS: Final = (
    T2V_A14B,
    I2V_A14B,
    TI2V_5B,
    WAN21_T2V_1_3B,
    WAN21_T2V_14B,
    T2V_A14B_LIGHTNING,
    I2V_A14B_LIGHTNING,
    T2V_A14B_DEMO,
    I2V_A14B_DEMO,
    TI2V_5B_DEMO,
)


def resolve(name: str) -> ModelSpec:
    """The Wan model of that name, in any of the spellings in use.

    Raises UnknownModel, with the names that come nearest, rather than guess.
    """
    return names.resolve(name, MODELS)


def presets_of(spec: ModelSpec) -> tuple[ModelSpec, ...]:
    """Models that run with the files of `spec`, in fewer steps."""
    return tuple(each for each in MODELS if each.base == spec.id)


def base_of(spec: ModelSpec) -> ModelSpec:
    """The model whose files `spec` runs with: itself, unless it is a preset."""
    return spec if spec.base is None else resolve(spec.base)
