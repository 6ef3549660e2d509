"""diffusers and transformers with our weights: the same tensors where both want them in one dtype, else a cast copy.

A machine may have neither, so this module is imported by `peer_or_skip` alone.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import diffusers
import torch
import transformers
from torch import Tensor, nn

from benchmarks.speed.shapes import Inputs, Shape, diffusers_options
from wanvideo.models.config import VAEConfig
from wanvideo.models.text_encoder import UMT5Encoder
from wanvideo.models.transformer import WanTransformer
from wanvideo.models.vae import WanVAE
from wanvideo.weights.key_map import KeyMap, text_encoder_keys, transformer_keys, vae_keys

VERSIONS: Final = {"diffusers": diffusers.__version__, "transformers": transformers.__version__}
# What diffusers keeps in float32 when it loads such a transformer; `_keep_in_fp32_modules` of its class.
FP32: Final = ("time_embedder", "scale_shift_table", "norm1", "norm2", "norm3")
ATTENTION: Final = {"default": None, "cuDNN": "_native_cudnn"}


def peer_transformer(ours: WanTransformer) -> Any:
    """diffusers' WanTransformer3DModel with the weights of `ours`, which it shares."""
    config, dtype = ours.config, ours.patch_embedding.weight.dtype
    with torch.device("meta"):
        theirs = diffusers.WanTransformer3DModel(**diffusers_options(config))
    device = ours.patch_embedding.weight.device
    theirs.rope = type(theirs.rope)(config.head_dim, config.patch, 1024).to(
        device
    )  # it has tables, which are no weights
    _share(ours, theirs, transformer_keys(config), lambda name: torch.float32 if _keeps_fp32(name) else dtype)
    return theirs.eval()


def load_transformer(folder: Path, device: torch.device, dtype: torch.dtype) -> Any:
    """As its users do it."""
    return diffusers.WanTransformer3DModel.from_pretrained(folder, torch_dtype=dtype).to(device)


def offload_in_groups(theirs: Any, device: torch.device) -> None:
    """Let a transformer in host memory run on the GPU block by block, each copied by a stream of its own before its
    turn: the fastest way that diffusers has."""
    diffusers.hooks.apply_group_offloading(
        theirs,
        onload_device=device,
        offload_device=torch.device("cpu"),
        offload_type="block_level",
        num_blocks_per_group=1,
        use_stream=device.type == "cuda",
        record_stream=device.type == "cuda",
    )


def peer_vae(ours: WanVAE) -> Any:
    """diffusers' AutoencoderKLWan with the weights of `ours`, which it shares."""
    config, dtype = ours.config, ours.conv2.weight.dtype
    with torch.device("meta"):
        theirs = diffusers.AutoencoderKLWan(**vae_options(config))
    _share(ours, theirs, vae_keys(config), lambda _: dtype)
    return theirs.eval()


def vae_options(config: VAEConfig) -> dict[str, Any]:
    options: dict[str, Any] = {
        "base_dim": config.base_dim,
        "decoder_base_dim": config.decoder_base_dim,
        "z_dim": config.z_dim,
        "dim_mult": list(config.dim_mult),
        "num_res_blocks": config.num_res_blocks,
        "temperal_downsample": list(config.temporal_downsample),
        "latents_mean": list(config.latent_mean),
        "latents_std": list(config.latent_std),
        "scale_factor_spatial": config.spatial_stride,
        "scale_factor_temporal": config.temporal_stride,
    }
    if config.shortcuts:
        channels = 3 * config.pixel_patch**2
        options |= {"is_residual": True, "patch_size": config.pixel_patch}
        options |= {"in_channels": channels, "out_channels": channels}
    return options


def peer_text_encoder(ours: UMT5Encoder) -> Any:
    """transformers' UMT5EncoderModel with the weights of `ours`, which it shares."""
    config, dtype = ours.config, ours.token_embedding.weight.dtype
    options = {
        "d_model": config.dim,
        "d_kv": config.head_dim,
        "d_ff": config.ffn_dim,
        "num_layers": config.num_layers,
        "num_heads": config.num_heads,
        "vocab_size": config.vocab_size,
        "relative_attention_num_buckets": config.num_buckets,
        "relative_attention_max_distance": config.max_distance,
        "layer_norm_epsilon": config.eps,
    }
    with torch.device("meta"):
        theirs = transformers.UMT5EncoderModel(transformers.UMT5Config(dropout_rate=0.0, **options))
    # A second name of the token embedding, which not every version ties to the first.
    embedding = {"encoder.embed_tokens.weight": ours.token_embedding.weight}
    _share(ours, theirs, text_encoder_keys(config), lambda _: dtype, embedding)
    return theirs.eval()


def forward(theirs: Any, shape: Shape, given: Inputs, dtype: torch.dtype) -> Callable[[], Tensor]:
    """One forward; where the first frame has a timestep of its own, diffusers wants one for every token."""
    latents = given.latents.to(dtype)
    timestep = given.timestep[0]
    if shape.rows == 2:
        frame = shape.grid[1] * shape.grid[2]
        timestep = timestep.repeat_interleave(torch.tensor([frame, shape.tokens - frame], device=timestep.device))[None]

    def run() -> Tensor:
        velocity: Tensor = theirs(latents, timestep, given.text, return_dict=False)[0]
        return velocity

    return run


def _keeps_fp32(name: str) -> bool:
    return any(part in FP32 for part in name.split("."))


def _share(
    ours: nn.Module,
    theirs: Any,
    keys: KeyMap,
    dtype_of: Callable[[str], torch.dtype],
    others: dict[str, Tensor] | None = None,
) -> None:
    state = dict(others or {})
    for name, value in ours.state_dict().items():
        key = keys.to_diffusers(name)
        assert key is not None, name
        state[key] = value.to(dtype_of(key))
    wanted = set(theirs.state_dict())
    theirs.load_state_dict({name: value for name, value in state.items() if name in wanted}, strict=True, assign=True)
    theirs.requires_grad_(False)
