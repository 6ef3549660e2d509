"""In which repositories, and under which names, the Wan models are published. No torch.

Sizes: where a comment names no other source, they are the parameters of the official networks times their width, which
leaves out headers of less than a thousandth, or the bytes that setup checkers of ComfyUI compare. Those of quantised
GGUF files are what their repositories list, to three digits. The hub has the exact ones; a size that no source states
is left open.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from wanvideo.weights.variants import Part, PresetLora, RemoteFiles, Variant

_WAN_22: Final = "Comfy-Org/Wan_2.2_ComfyUI_Repackaged"
_WAN_21: Final = "Comfy-Org/Wan_2.1_ComfyUI_repackaged"
_GIB: Final = 2**30

# Parameters of one transformer, counted with the official code.
_T2V_14B, _I2V_14B, _TI2V_5B, _T2V_1_3B = 14_288_491_584, 14_288_901_184, 4_999_787_712, 1_418_996_800
_UMT5_XXL: Final = 5_680_910_336


# --- Diffusers repositories ------------------------------------------------------------------------------------------


def _diffusers(repo_id: str, experts: int, parameters: int, *, text_bytes: int | None, vae_bytes: int) -> Variant:
    """A repository of the Wan team, in the layout of Diffusers."""

    def folder(part: Part, nbytes: int | None) -> RemoteFiles:
        paths = (f"{part}/*.json", f"{part}/*.safetensors")
        return RemoteFiles(repo_id=repo_id, paths=paths, nbytes=nbytes)

    parts = {Part.TRANSFORMER: folder(Part.TRANSFORMER, 4 * parameters)}
    if experts == 2:
        parts[Part.TRANSFORMER_2] = folder(Part.TRANSFORMER_2, 4 * parameters)
    parts[Part.VAE] = folder(Part.VAE, vae_bytes)
    parts[Part.TEXT_ENCODER] = folder(Part.TEXT_ENCODER, text_bytes)
    # tokenizer.json and spiece.model of UMT5: about 21 MB, which no source states to the byte.
    parts[Part.TOKENIZER] = RemoteFiles(repo_id=repo_id, paths=("tokenizer/*",), nbytes=21_000_000)
    settings = ("model_index.json", "scheduler/scheduler_config.json")
    return Variant(
        id="fp32",
        title="as published, 32-bit transformers in the Diffusers layout",
        parts=MappingProxyType(parts),
        extra=(RemoteFiles(repo_id=repo_id, paths=settings, nbytes=2_000),),
        memory_scale=0.5,
    )


# --- single files ----------------------------------------------------------------------------------------------------


def _comfy(path: str, nbytes: int | None, repo_id: str = _WAN_22) -> RemoteFiles:
    return RemoteFiles(repo_id=repo_id, paths=(f"split_files/{path}.safetensors",), nbytes=nbytes)


# Both hold the SentencePiece model of the tokenizer as a tensor.
_TEXT_16: Final = _comfy("text_encoders/umt5_xxl_fp16", 2 * _UMT5_XXL)
_TEXT_8: Final = _comfy("text_encoders/umt5_xxl_fp8_e4m3fn_scaled", 6_735_906_897)
_VAE_21: Final = _comfy("vae/wan_2.1_vae", 253_815_318)
_VAE_22: Final = _comfy("vae/wan2.2_vae", 1_409_400_960)


def _parts(transformers: tuple[RemoteFiles, ...], vae: RemoteFiles, text: RemoteFiles) -> Mapping[Part, RemoteFiles]:
    names = (Part.TRANSFORMER, Part.TRANSFORMER_2)[: len(transformers)]
    parts = dict(zip(names, transformers, strict=True))
    return MappingProxyType(parts | {Part.VAE: vae, Part.TEXT_ENCODER: text})


def _fp16(vae: RemoteFiles, *transformers: RemoteFiles) -> Variant:
    return Variant(id="fp16", title="16-bit single files", parts=_parts(transformers, vae, _TEXT_16))


def _fp8(vae: RemoteFiles, *transformers: RemoteFiles) -> Variant:
    return Variant(
        id="fp8",
        title="scaled 8-bit floats, single files",
        parts=_parts(transformers, vae, _TEXT_8),
        quantised=True,
    )


@dataclass(frozen=True, slots=True)
class _Gguf:
    """One kind of quantisation: its bytes for one transformer."""

    kind: str
    nbytes: int | None


def _gguf(repo_id: str, kinds: tuple[_Gguf, ...], vae: RemoteFiles, *paths: str) -> tuple[Variant, ...]:
    """One variant of each kind; `paths` of the transformers have `{}` where the name of the kind stands."""

    def variant(gguf: _Gguf) -> Variant:
        files = tuple(RemoteFiles(repo_id=repo_id, paths=(p.format(gguf.kind),), nbytes=gguf.nbytes) for p in paths)
        return Variant(
            id=gguf.kind.lower(), title=f"GGUF {gguf.kind}", parts=_parts(files, vae, _TEXT_8), quantised=True
        )

    return tuple(variant(gguf) for gguf in kinds)


# QuantStack's files, the same for T2V and I2V, which differ by 20 input channels of one layer. Q8_0, Q5_K_M and Q4_K_M
# as published; Q6_K from its bits per weight (6.5625 of 14.05 billion, the rest in 16 bits); Q3_K_M from setup lists.
_GGUF_14B: Final = (
    _Gguf("Q8_0", 15_400_000_000),
    _Gguf("Q6_K", 12_000_000_000),
    _Gguf("Q5_K_M", 10_800_000_000),
    _Gguf("Q4_K_M", 9_650_000_000),
    _Gguf("Q3_K_M", 7_170_000_000),
    _Gguf("Q2_K", None),
)
_GGUF_5B: Final = (
    _Gguf("Q8_0", int(5.03 * _GIB)),
    _Gguf("Q6_K", int(3.92 * _GIB)),
    _Gguf("Q5_K_M", int(3.55 * _GIB)),
    _Gguf("Q4_K_M", int(3.20 * _GIB)),
    _Gguf("Q3_K_M", int(2.37 * _GIB)),
    _Gguf("Q2_K", int(1.73 * _GIB)),
)
# city96 keeps other tensors than QuantStack in more bits, and no source states the sizes; there is no Q2_K.
_GGUF_21_14B: Final = tuple(_Gguf(gguf.kind, None) for gguf in _GGUF_14B if gguf.kind != "Q2_K")


# --- the models ------------------------------------------------------------------------------------------------------

_TEXT_BF16_SHARDS: Final = 4_935_812_536 + 4_983_103_192 + 1_442_935_480
_VAE_21_FP32: Final = 507_591_892
_VAE_22_FP32: Final = 2_820_000_000  # about: its 16-bit copy has half of that


def _a14b(kind: str, parameters: int, fp8_bytes: int) -> tuple[Variant, ...]:
    """T2V-A14B and I2V-A14B are published in the same places."""
    name = f"diffusion_models/wan2.2_{kind}_{{}}_noise_14B_{{}}"
    upper = kind.upper()
    return (
        _diffusers(
            f"Wan-AI/Wan2.2-{upper}-A14B-Diffusers",
            2,
            parameters,
            text_bytes=_TEXT_BF16_SHARDS,
            vae_bytes=_VAE_21_FP32,
        ),
        _fp16(_VAE_21, *(_comfy(name.format(expert, "fp16"), 2 * parameters) for expert in ("high", "low"))),
        _fp8(_VAE_21, *(_comfy(name.format(expert, "fp8_scaled"), fp8_bytes) for expert in ("high", "low"))),
        *_gguf(
            f"QuantStack/Wan2.2-{upper}-A14B-GGUF",
            _GGUF_14B,
            _VAE_21,
            f"HighNoise/Wan2.2-{upper}-A14B-HighNoise-{{}}.gguf",
            f"LowNoise/Wan2.2-{upper}-A14B-LowNoise-{{}}.gguf",
        ),
    )


T2V_A14B: Final = _a14b("t2v", _T2V_14B, 14_293_923_632)
I2V_A14B: Final = _a14b("i2v", _I2V_14B, 14_294_742_832)
TI2V_5B: Final = (
    _diffusers("Wan-AI/Wan2.2-TI2V-5B-Diffusers", 1, _TI2V_5B, text_bytes=_TEXT_BF16_SHARDS, vae_bytes=_VAE_22_FP32),
    _fp16(_VAE_22, _comfy("diffusion_models/wan2.2_ti2v_5B_fp16", 9_999_658_848)),
    *_gguf("QuantStack/Wan2.2-TI2V-5B-GGUF", _GGUF_5B, _VAE_22, "Wan2.2-TI2V-5B-{}.gguf"),
)
# The text encoder is published in 32 bits, in five shards.
WAN21_T2V_1_3B: Final = (
    _diffusers("Wan-AI/Wan2.1-T2V-1.3B-Diffusers", 1, _T2V_1_3B, text_bytes=4 * _UMT5_XXL, vae_bytes=_VAE_21_FP32),
    _fp16(_VAE_21, _comfy("diffusion_models/wan2.1_t2v_1.3B_fp16", 2 * _T2V_1_3B, _WAN_21)),
)
WAN21_T2V_14B: Final = (
    _diffusers("Wan-AI/Wan2.1-T2V-14B-Diffusers", 1, _T2V_14B, text_bytes=None, vae_bytes=_VAE_21_FP32),
    _fp16(_VAE_21, _comfy("diffusion_models/wan2.1_t2v_14B_fp16", 2 * _T2V_14B, _WAN_21)),
    # Its transformer has the shapes of an expert of T2V-A14B, and is stored in the same way.
    _fp8(_VAE_21, _comfy("diffusion_models/wan2.1_t2v_14B_fp8_scaled", 14_293_923_632, _WAN_21)),
    *_gguf("city96/Wan2.1-T2V-14B-gguf", _GGUF_21_14B, _VAE_21, "wan2.1-t2v-14b-{}.gguf"),
)


# --- LoRAs of presets ------------------------------------------------------------------------------------------------


def _lightning(title: str, name: str) -> PresetLora:
    """Rank 64 in float32, for guidance 1 and four Euler steps at shift 5."""
    high, low = (_comfy(f"loras/{name}_{expert}_noise", 1_226_977_424) for expert in ("high", "low"))
    return PresetLora(title=title, high=high, low=low)


T2V_LIGHTNING: Final = _lightning("Lightning 4 steps, V1.1", "wan2.2_t2v_lightx2v_4steps_lora_v1.1")
I2V_LIGHTNING: Final = _lightning("Lightning 4 steps, V1", "wan2.2_i2v_lightx2v_4steps_lora_v1")
