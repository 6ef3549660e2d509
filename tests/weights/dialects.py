"""One tiny random model, written to real files in every dialect that we read.

Its widths are multiples of 256, so that every type of GGUF block fits.
"""

import json
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from wanvideo.models.config import VAE_2_1, TextEncoderConfig, TransformerConfig
from wanvideo.models.text_encoder import UMT5Encoder
from wanvideo.models.transformer import WanTransformer
from wanvideo.models.vae import WanVAE
from wanvideo.weights.catalog import T2V_A14B, WAN21_T2V_14B
from wanvideo.weights.key_map import llama_text_encoder_keys, text_encoder_keys

Tensors = Mapping[str, Tensor]

TRANSFORMER = TransformerConfig(
    in_channels=16, out_channels=16, num_heads=2, num_layers=2, ffn_dim=256, text_dim=256, freq_dim=256
)
TEXT_ENCODER = TextEncoderConfig(dim=256, num_layers=2, num_heads=2, head_dim=128, ffn_dim=256, vocab_size=64)
VAE = replace(VAE_2_1, base_dim=8, decoder_base_dim=8)
SPEC = replace(T2V_A14B, transformer=TRANSFORMER, vae=VAE, text_encoder=TEXT_ENCODER)
SPEC_21 = replace(WAN21_T2V_14B, transformer=TRANSFORMER, vae=VAE, text_encoder=TEXT_ENCODER)
CONFIGS = (TRANSFORMER, TEXT_ENCODER, VAE)

BLOCK_LINEARS = (
    *(f"{attention}.{layer}" for attention in ("self_attn", "cross_attn") for layer in "qkvo"),
    *("ffn.0", "ffn.2"),
)


def random_tensors(module: nn.Module, seed: int = 0) -> dict[str, Tensor]:
    """Official names -> float32 values of ordinary size, which 16 bits hold exactly."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, parameter in module.state_dict().items():
        value = torch.randn(parameter.shape, generator=generator) * (0.02 if parameter.dim() > 1 else 0.1)
        value += "norm" in name or "gamma" in name
        tensors[name] = value.to(torch.float16).bfloat16().float()
    return tensors


def transformer_tensors(seed: int = 0) -> dict[str, Tensor]:
    return random_tensors(WanTransformer(TRANSFORMER), seed)


def text_encoder_tensors() -> dict[str, Tensor]:
    return random_tensors(UMT5Encoder(TEXT_ENCODER), 7)


def vae_tensors() -> dict[str, Tensor]:
    return random_tensors(WanVAE(VAE), 8)


def is_block_linear(name: str) -> bool:
    return name.startswith("blocks.") and name.endswith(".weight") and name.split(".", 2)[2][:-7] in BLOCK_LINEARS


def is_linear(name: str) -> bool:
    """Of the transformer or the text encoder."""
    outside = ("text_embedding", "time_embedding", "time_projection", "head.head")
    is_text = any(part in name for part in (".attn.", ".ffn.gate", ".ffn.fc"))
    return name.endswith(".weight") and (is_block_linear(name) or name.startswith(outside) or is_text)


def write(path: Path, tensors: Tensors, prefix: str = "", metadata: dict[str, str] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({prefix + name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata)
    return path


def as_16_bit(tensors: Tensors, dtype: torch.dtype = torch.float16) -> dict[str, Tensor]:
    return {name: tensor.to(dtype) for name, tensor in tensors.items()}


def scaled_fp8(
    tensors: Tensors,
    chosen: Callable[[str], bool],
    *,
    scale_name: str,
    scale_shape: tuple[int, ...] | None = (),
    dtype: torch.dtype = torch.float8_e4m3fn,
    rest: torch.dtype = torch.float16,
) -> dict[str, Tensor]:
    """Each chosen weight with its scale; `scale_shape` None: one per row."""
    most = 127.0 if dtype == torch.int8 else torch.finfo(dtype).max
    written: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if not chosen(name):
            written[name] = tensor.to(rest)
            continue
        scale = tensor.abs().amax(1, keepdim=True) / most if scale_shape is None else tensor.abs().max() / most
        quotient = tensor / scale
        written[name] = (quotient.round() if dtype == torch.int8 else quotient).to(dtype)
        layer = name.removesuffix(".weight")
        written[f"{layer}.{scale_name}"] = scale if scale_shape is None else scale.reshape(scale_shape)
    return written


def comfy_old(tensors: Tensors, marker: int = 2) -> dict[str, Tensor]:
    """ComfyUI's first way: all linear layers, a marker of `marker` elements, scales of inputs."""
    written = scaled_fp8(tensors, is_linear, scale_name="scale_weight")
    inputs = {name.replace("scale_weight", "scale_input"): torch.ones(()) for name in written if "scale_weight" in name}
    return {**written, **inputs, "scaled_fp8": torch.zeros(marker, dtype=torch.float8_e4m3fn)}


def comfy_new(tensors: Tensors) -> dict[str, Tensor]:
    """ComfyUI's second way, described layer by layer."""
    written = scaled_fp8(tensors, is_linear, scale_name="weight_scale")
    described = torch.tensor(list(json.dumps({"format": "float8_e4m3fn"}).encode()), dtype=torch.uint8)
    layers = [name.removesuffix(".weight_scale") for name in written if name.endswith(".weight_scale")]
    return {**written, **{f"{layer}.comfy_quant": described.clone() for layer in layers}}


def described_in_metadata(tensors: Tensors) -> dict[str, str]:
    layers = {name.removesuffix(".weight"): {"format": "float8_e4m3fn"} for name in tensors if is_linear(name)}
    return {"_quantization_metadata": json.dumps({"format_version": "1.0", "layers": layers})}


def kijai(tensors: Tensors, dtype: torch.dtype = torch.float8_e4m3fn) -> dict[str, Tensor]:
    """Only the layers of the blocks, the rest in float32."""
    written = scaled_fp8(
        tensors, is_block_linear, scale_name="scale_weight", scale_shape=(1,), dtype=dtype, rest=torch.float32
    )
    return {**written, "scaled_fp8": torch.zeros(2, dtype=dtype)}


def lightx2v(tensors: Tensors, dtype: torch.dtype) -> dict[str, Tensor]:
    return scaled_fp8(tensors, is_block_linear, scale_name="weight_scale", scale_shape=None, dtype=dtype)


def plain_cast(tensors: Tensors) -> dict[str, Tensor]:
    """Everything that is a matrix or larger, without scales."""
    return {
        n: t.to(torch.float8_e4m3fn if t.dim() > 1 and "modulation" not in n else t.dtype) for n, t in tensors.items()
    }


def write_gguf(
    path: Path,
    tensors: Mapping[str, Tensor | tuple[str, np.ndarray[Any, Any]]],
    *,
    architecture: str = "wan",
    strings: Mapping[str, str] | None = None,
    arrays: Mapping[str, list[Any]] | None = None,
    file_type: int | None = None,
) -> Path:
    """Float tensors as they are; blocks as (type, uint8 rows)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(path, architecture)
    for key, text in (strings or {}).items():
        writer.add_string(key, text)
    for key, values in (arrays or {}).items():
        writer.add_array(key, values)
    if file_type is not None:
        writer.add_file_type(file_type)
    for name, tensor in tensors.items():
        if isinstance(tensor, Tensor):
            writer.add_tensor(name, tensor.contiguous().numpy())
        else:
            writer.add_tensor(name, tensor[1], raw_dtype=gguf.GGMLQuantizationType[tensor[0]])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def as_gguf(tensors: Tensors, kind: str) -> dict[str, Tensor | tuple[str, np.ndarray[Any, Any]]]:
    """The layers of the blocks quantised by the `gguf` package, the rest in 16 and 32 bits."""
    type_ = gguf.GGMLQuantizationType[kind]
    return {
        name: (kind, gguf.quants.quantize(tensor.numpy(), type_))
        if is_block_linear(name)
        else (tensor if tensor.dim() == 1 or "modulation" in name else tensor.half())
        for name, tensor in tensors.items()
    }


def sentencepiece(pieces: Iterable[tuple[str, float]], *, model_type: int = 1) -> bytes:
    """A SentencePiece model with the special pieces of T5 first, in protocol buffers' wire format."""

    def varint(number: int) -> bytes:
        low, rest = number & 127, number >> 7
        return bytes([low | 128]) + varint(rest) if rest else bytes([low])

    def message(field: int, data: bytes) -> bytes:
        return varint(field << 3 | 2) + varint(len(data)) + data

    types = {"<pad>": 3, "</s>": 3, "<unk>": 2}
    data = b""
    for text, score in pieces:
        piece = message(1, text.encode()) + b"\x15" + struct.pack("<f", score)
        data += message(1, piece + (b"\x18" + varint(types[text]) if text in types else b""))
    return data + message(2, b"\x18" + varint(model_type)) + message(3, message(1, b"identity"))


def as_transformers(tensors: Tensors) -> dict[str, Tensor]:
    """The text encoder under the names of transformers."""
    keys = text_encoder_keys(TEXT_ENCODER)
    return {keys.to_diffusers(name) or name: tensor for name, tensor in tensors.items()}


def as_llama(tensors: Tensors) -> dict[str, Tensor]:
    """The text encoder under the names of llama.cpp."""
    keys = llama_text_encoder_keys(TEXT_ENCODER)
    return {keys.to_diffusers(name) or name: tensor for name, tensor in tensors.items()}
