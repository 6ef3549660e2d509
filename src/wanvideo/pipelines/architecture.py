"""What a Wan model weighs, by the headers of its files or by the catalog, and what a request asks of it. No torch."""

import math
import re
from collections import defaultdict
from collections.abc import Callable
from typing import Final

from wanvideo.errors import InvalidRequest, ModelMismatch, ModelMissing
from wanvideo.models.config import TextEncoderConfig, TransformerConfig
from wanvideo.pipelines.lossy import computed_share
from wanvideo.request import ResolvedRequest, Task
from wanvideo.runtime.architecture import (
    VAE_PARAMETERS,
    Architecture,
    Weights,
    Work,
    block_weights,
    rest_weights,
    text_block_weights,
    text_rest_weights,
)
from wanvideo.weights.catalog import ModelSpec
from wanvideo.weights.folder import ModelFolder
from wanvideo.weights.network import NetworkPart
from wanvideo.weights.stored import Parameter, sort_out
from wanvideo.weights.variants import Part, Variant

_BLOCK: Final = re.compile(r"blocks\.(\d+)\.")
_OF_TEXT: Final = re.compile(r"blocks\.\d+\.cross_attn\.[kv]\.weight")  # which runtime.quantize leaves; a test says so


def architecture_of(folder: ModelFolder, name: str) -> Architecture:
    """From the headers of the files of a model on disk."""
    # Experts are stored alike, or nearly so; slabs have to hold the larger blocks.
    experts = [_sorted(part, keeps_fp32=_keeps_fp32) for part in folder.transformers]
    blocks, rest, stored_block, largest_matrix = max(experts, key=lambda expert: expert[0].nbytes(2))
    text_block, text_rest, _, _ = _sorted(folder.text_encoder, keeps_fp32=lambda _: False)
    return Architecture(
        name=name,
        precision=folder.precision,
        experts=len(folder.transformers),
        transformer=folder.transformers[0].config,
        block=blocks,
        rest=rest,
        largest_matrix=largest_matrix,
        text_encoder=folder.text_encoder.config,
        text_block=text_block,
        text_rest=text_rest,
        vae=folder.vae.config,
        vae_parameters=sum(math.prod(info.shape) for file in folder.vae.files for info in file.tensors.values()),
        stored_block=stored_block,
        stored_bytes=folder.nbytes,
    )


def architecture_in_catalog(spec: ModelSpec, variant: Variant) -> Architecture:
    """From the shapes of the networks and the size of the files that the catalog states.

    Raises InvalidRequest if it states none for a quantised variant, ModelMissing if only files tell the shapes.
    """
    config, vae, text = spec.transformer, spec.vae, spec.text_encoder
    if vae is None or text is None or vae.z_dim not in VAE_PARAMETERS:
        raise ModelMissing(f"{spec.id} is not on disk, and only its files say how large it is")
    rest, text_rest = rest_weights(config), text_rest_weights(text)
    bits = text_bits = 16.0
    if variant.quantised:
        bits = 8 * _stated(spec, variant, Part.TRANSFORMER) / _numbers(config)
        text_numbers = text.num_layers * text_block_weights(text).matrices
        text_bits = 8 * max(0, _stated(spec, variant, Part.TEXT_ENCODER) - 2 * text_rest.others) / text_numbers
    block = block_weights(config, bits)
    on_disk = 1 if variant.quantised else 1 / variant.memory_scale
    text_block = text_block_weights(text, text_bits)
    in_16_bits = (
        spec.experts * (block.times(config.num_layers) + rest).nbytes(2)
        + (text_block.times(text.num_layers) + text_rest).nbytes(2)
        + 2 * VAE_PARAMETERS[vae.z_dim]
    )
    return Architecture(
        name=spec.id,
        precision=variant.id,
        experts=spec.experts,
        transformer=config,
        block=block,
        rest=rest,
        largest_matrix=config.dim * config.ffn_dim if variant.quantised else 0,
        text_encoder=text,
        text_block=text_block,
        text_rest=text_rest,
        vae=vae,
        vae_parameters=VAE_PARAMETERS[vae.z_dim],
        stored_block=int(block.nbytes(2) * on_disk),
        stored_bytes=variant.nbytes or in_16_bits,
    )


def work_of(spec: ModelSpec, request: ResolvedRequest) -> Work:
    """A request in numbers."""
    guided = request.guidance_high != 1 or (spec.experts == 2 and request.guidance_low != 1)
    with_image = request.task is Task.IMAGE_TO_VIDEO
    high = sum(lora.nbytes for lora in request.loras if lora.strength != 0)
    low = sum(lora.nbytes for lora in request.loras if lora.strength_low != 0)
    return Work(
        width=request.width,
        height=request.height,
        frames=request.frames,
        steps=request.steps,
        guided=guided,
        # Beside the first frame, the A14B models encode a whole clip of gray.
        encoded_frames=(1 if spec.image_in_latents else request.frames) if with_image else 0,
        lora_bytes=max(high, low if spec.experts == 2 else 0),
        step_cache=request.step_cache,
        computed=computed_share(spec, request.step_cache, request.steps),
    )


def _stated(spec: ModelSpec, variant: Variant, part: Part) -> int:
    files = variant.parts.get(part)
    if files is None or files.nbytes is None:
        raise InvalidRequest(
            f"the size of {variant.id} of {spec.id} is not known before it is downloaded: choose another variant",
            suggestions=tuple(other.id for other in spec.variants if other.transformer_bytes is not None),
        )
    return files.nbytes


def _numbers(config: TransformerConfig) -> int:
    """Parameters of one transformer."""
    block, rest = block_weights(config), rest_weights(config)
    return config.num_layers * (block.matrices + block.text_matrices + block.others) + rest.others + rest.fp32


# --- from headers ----------------------------------------------------------------------------------------------------


def _keeps_fp32(name: str) -> bool:
    """As `models.transformer.keeps_fp32`, which comes with torch; a test holds them together."""
    return "norm" in name or "modulation" in name or name.startswith(("time_", "head."))


def _sorted(
    part: NetworkPart[TransformerConfig] | NetworkPart[TextEncoderConfig], *, keeps_fp32: Callable[[str], bool]
) -> tuple[Weights, Weights, int, int]:
    """The largest block, everything else, the bytes of that block on disk, and the numbers of the largest matrix."""
    parameters = sort_out(part.files, part.layout, part.config).parameters
    blocks: dict[str, Weights] = defaultdict(Weights)
    on_disk: dict[str, int] = defaultdict(int)
    rest, largest = Weights(), 0
    for name, parameter in parameters.items():
        weights = _weights(name, parameter, fp32=keeps_fp32(name))
        found = _BLOCK.match(name)
        if found and not weights.fp32:
            blocks[found[1]] += weights
            on_disk[found[1]] += _stored(parameter)
        else:
            rest += weights
        if parameter.is_quantised:
            largest = max(largest, math.prod(parameter.tensor.info.shape))
    if not blocks:
        raise ModelMismatch(f"{part.path} holds tensors of another network: get the file of this one again")
    block = max(blocks, key=lambda index: blocks[index].nbytes(2))
    return blocks[block], rest, on_disk[block], largest


def _weights(name: str, parameter: Parameter, *, fp32: bool) -> Weights:
    info = parameter.tensor.info
    numbers = math.prod(info.shape)
    if parameter.is_quantised:
        return Weights(quantised=_stored(parameter))
    if fp32:
        return Weights(fp32=numbers)
    if _BLOCK.match(name) and name.endswith(".weight") and len(info.shape) == 2 and "pos_embedding" not in name:
        return Weights(text_matrices=numbers) if _OF_TEXT.fullmatch(name) else Weights(matrices=numbers)
    return Weights(others=numbers)


def _stored(parameter: Parameter) -> int:
    """Bytes in the files, the scale included."""
    scale = parameter.scale
    return parameter.tensor.info.nbytes + (scale.info.nbytes if scale else 0)
