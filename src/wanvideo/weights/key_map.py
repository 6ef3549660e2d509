"""Names of tensors: the official code's, which our modules carry, those of Diffusers repositories, and llama.cpp's.

A table lists modules (and bare parameters), official name -> other name, for one architecture. A `KeyMap` applies it in
both directions; what is in no table has no translation, and loading reports it.

Sources: the modules of the official code (`wan/modules`), of diffusers (`WanTransformer3DModel`, `AutoencoderKLWan`)
and of transformers (`UMT5EncoderModel`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from wanvideo.models.config import TextEncoderConfig, TransformerConfig, VAEConfig

_ATTENTION: Final = {"q": "to_q", "k": "to_k", "v": "to_v", "o": "to_out.0", "norm_q": "norm_q", "norm_k": "norm_k"}
_OUTSIDE_BLOCKS: Final = {
    "patch_embedding": "patch_embedding",
    "text_embedding.0": "condition_embedder.text_embedder.linear_1",
    "text_embedding.2": "condition_embedder.text_embedder.linear_2",
    "time_embedding.0": "condition_embedder.time_embedder.linear_1",
    "time_embedding.2": "condition_embedder.time_embedder.linear_2",
    "time_projection.1": "condition_embedder.time_proj",
    "head.head": "proj_out",
    "head.modulation": "scale_shift_table",
}
_BLOCK: Final = {
    "modulation": "scale_shift_table",
    "norm3": "norm2",  # the affine norm before cross-attention; diffusers numbers norms in the order of use
    "ffn.0": "ffn.net.0.proj",
    "ffn.2": "ffn.net.2",
    **{f"self_attn.{ours}": f"attn1.{theirs}" for ours, theirs in _ATTENTION.items()},
    **{f"cross_attn.{ours}": f"attn2.{theirs}" for ours, theirs in _ATTENTION.items()},
}
_TEXT_BLOCK: Final = {
    "norm1": "layer.0.layer_norm",
    "norm2": "layer.1.layer_norm",
    **{f"attn.{x}": f"layer.0.SelfAttention.{x}" for x in "qkvo"},
    "pos_embedding.embedding": "layer.0.SelfAttention.relative_attention_bias",
    "ffn.gate.0": "layer.1.DenseReluDense.wi_0",
    "ffn.fc1": "layer.1.DenseReluDense.wi_1",
    "ffn.fc2": "layer.1.DenseReluDense.wo",
}
_LLAMA_BLOCK: Final = {
    "norm1": "attn_norm",
    "norm2": "ffn_norm",
    **{f"attn.{x}": f"attn_{x}" for x in "qkvo"},
    "pos_embedding.embedding": "attn_rel_b",
    "ffn.gate.0": "ffn_gate",
    "ffn.fc1": "ffn_up",
    "ffn.fc2": "ffn_down",
}
_RESIDUAL: Final = {
    "residual.0": "norm1",
    "residual.2": "conv1",
    "residual.3": "norm2",
    "residual.6": "conv2",
    "shortcut": "conv_shortcut",
}
_RESAMPLE: Final = {"resample.1": "resample.1", "time_conv": "time_conv"}
_FRAME_ATTENTION: Final = {"norm": "norm", "to_qkv": "to_qkv", "proj": "proj"}

# A second name that transformers gives the token embedding, and the first; some files hold both.
TEXT_ENCODER_ALIASES: Final = {"encoder.embed_tokens.weight": "shared.weight"}


@dataclass(frozen=True, slots=True)
class KeyMap:
    """Translates names of tensors between the official code and a Diffusers repository."""

    _diffusers: Mapping[str, str]  # official module -> diffusers module
    _official: Mapping[str, str]  # and back

    @classmethod
    def of(cls, table: Mapping[str, str]) -> "KeyMap":
        return cls(table, {theirs: ours for ours, theirs in table.items()})

    def official(self) -> "KeyMap":
        """The map from official names to themselves, of the same modules."""
        return KeyMap.of({ours: ours for ours in self._diffusers})

    @property
    def modules(self) -> Mapping[str, str]:
        """The table itself: official module (or bare parameter) -> diffusers module."""
        return self._diffusers

    def to_diffusers(self, name: str) -> str | None:
        """The diffusers name of an official tensor; None if no module has it."""
        return _translate(name, self._diffusers)

    def to_official(self, name: str) -> str | None:
        """The official name of a diffusers tensor; None if no module has it."""
        return _translate(name, self._official)


def transformer_keys(config: TransformerConfig) -> KeyMap:
    table = dict(_OUTSIDE_BLOCKS)
    for i in range(config.num_layers):
        table |= _below(f"blocks.{i}", f"blocks.{i}", _BLOCK)
    return KeyMap.of(table)


def text_encoder_keys(config: TextEncoderConfig) -> KeyMap:
    table = {"token_embedding": "shared", "norm": "encoder.final_layer_norm"}
    for i in range(config.num_layers):
        table |= _below(f"blocks.{i}", f"encoder.block.{i}", _TEXT_BLOCK)
    return KeyMap.of(table)


def llama_text_encoder_keys(config: TextEncoderConfig) -> KeyMap:
    """As llama.cpp names the tensors of a UMT5 encoder in GGUF files."""
    table = {"token_embedding": "token_embd", "norm": "enc.output_norm"}
    for i in range(config.num_layers):
        table |= _below(f"blocks.{i}", f"enc.blk.{i}", _LLAMA_BLOCK)
    return KeyMap.of(table)


def vae_keys(config: VAEConfig) -> KeyMap:
    """Of both kinds; of 2.1, diffusers groups the decoder's layers by stage and the official code does not."""
    table = {"conv1": "quant_conv", "conv2": "post_quant_conv"}
    for coder in ("encoder", "decoder"):
        table |= _below(coder, coder, {"conv1": "conv_in", "head.0": "norm_out", "head.2": "conv_out"})
        table |= _below(f"{coder}.middle.0", f"{coder}.mid_block.resnets.0", _RESIDUAL)
        table |= _below(f"{coder}.middle.1", f"{coder}.mid_block.attentions.0", _FRAME_ATTENTION)
        table |= _below(f"{coder}.middle.2", f"{coder}.mid_block.resnets.1", _RESIDUAL)
    for stage in range(len(config.dim_mult)):
        table |= _down_stage(config, stage) | _up_stage(config, stage)
    return KeyMap.of(table)


def _down_stage(config: VAEConfig, stage: int) -> dict[str, str]:
    """Residual blocks, and a downsampling, which the last stage has not."""
    blocks = config.num_res_blocks
    table: dict[str, str] = {}
    for layer in range(blocks + 1):
        rows = _RESIDUAL if layer < blocks else _RESAMPLE
        if config.shortcuts:
            ours = f"encoder.downsamples.{stage}.downsamples.{layer}"
            theirs = f"encoder.down_blocks.{stage}." + (f"resnets.{layer}" if layer < blocks else "downsampler")
        else:
            flat = stage * (blocks + 1) + layer
            ours, theirs = f"encoder.downsamples.{flat}", f"encoder.down_blocks.{flat}"
        table |= _below(ours, theirs, rows)
    return table


def _up_stage(config: VAEConfig, stage: int) -> dict[str, str]:
    """One residual block more, and an upsampling, which the last stage has not."""
    blocks = config.num_res_blocks + 1
    table: dict[str, str] = {}
    for layer in range(blocks + 1):
        rows = _RESIDUAL if layer < blocks else _RESAMPLE
        flat = stage * (blocks + 1) + layer
        ours = f"upsamples.{stage}.upsamples.{layer}" if config.shortcuts else f"upsamples.{flat}"
        resample = "upsampler" if config.shortcuts else "upsamplers.0"
        theirs = f"up_blocks.{stage}." + (f"resnets.{layer}" if layer < blocks else resample)
        table |= _below(f"decoder.{ours}", f"decoder.{theirs}", rows)
    return table


def _below(ours: str, theirs: str, rows: Mapping[str, str]) -> dict[str, str]:
    return {f"{ours}.{a}": f"{theirs}.{b}" for a, b in rows.items()}


def _translate(name: str, table: Mapping[str, str]) -> str | None:
    """A tensor is a bare parameter of the table, or the weight, bias or gamma of a module in it."""
    if name in table:
        return table[name]
    module, _, leaf = name.rpartition(".")
    return f"{table[module]}.{leaf}" if module in table else None
