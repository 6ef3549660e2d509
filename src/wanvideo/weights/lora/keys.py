"""Names of tensors in LoRA files -> what they belong to. No torch.

Everybody who trains or converts a LoRA writes other names. A name is a prefix, a module, and a suffix that says which
tensor of the module's LoRA it is:

    transformer_2.blocks.0.attn1.to_q.lora_A.weight        diffusers and PEFT, names of diffusers
    diffusion_model.blocks.0.self_attn.q.lora_down.weight  ComfyUI, ai-toolkit, Lightning, official names
    lora_unet_blocks_0_self_attn_q.lora_down.weight        kohya and musubi: dots became underscores
    blocks.0.self_attn.q.lora_down.weight                  no prefix

Modules are looked up in the table of the transformer, under both spellings and with dots or underscores; a name that is
not in the table is reported, never guessed.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from wanvideo.models.config import TransformerConfig
from wanvideo.weights.key_map import transformer_keys
from wanvideo.weights.variants import Part


class Dialect(StrEnum):
    """How a file names its tensors."""

    DIFFUSERS = "diffusers"
    COMFYUI = "ComfyUI"
    KOHYA = "kohya"
    PEFT = "PEFT"
    BARE = "bare"


class Role(StrEnum):
    """What a tensor is to its module."""

    DOWN = "down"  # [r, in]
    UP = "up"  # [out, r]
    ALPHA = "alpha"  # scalar
    DIFF = "diff"  # of the weight, whole
    DIFF_BIAS = "diff_b"
    DIFF_MODULATION = "diff_m"


# The expert is known only where a prefix names it.
_PREFIXES: Final[Mapping[str, tuple[Dialect, Part | None]]] = MappingProxyType(
    {
        "transformer_2.": (Dialect.DIFFUSERS, Part.TRANSFORMER_2),
        "transformer.": (Dialect.DIFFUSERS, Part.TRANSFORMER),
        "diffusion_model.": (Dialect.COMFYUI, None),
        "model.diffusion_model.": (Dialect.COMFYUI, None),
        "base_model.model.": (Dialect.PEFT, None),
        "lora_unet_": (Dialect.KOHYA, None),
        "lora_transformer_": (Dialect.KOHYA, None),
        "": (Dialect.BARE, None),
    }
)
_SUFFIXES: Final[Mapping[str, Role]] = MappingProxyType(
    {
        ".lora_A.weight": Role.DOWN,
        ".lora_B.weight": Role.UP,
        ".lora_A.default.weight": Role.DOWN,
        ".lora_B.default.weight": Role.UP,
        ".lora_down.weight": Role.DOWN,
        ".lora_up.weight": Role.UP,
        ".lora.down.weight": Role.DOWN,
        ".lora.up.weight": Role.UP,
        ".alpha": Role.ALPHA,
        ".diff": Role.DIFF,
        ".diff_b": Role.DIFF_BIAS,
        ".diff_m": Role.DIFF_MODULATION,
    }
)
# Adapters of other kinds, by a part of the names of their tensors.
_OTHER_KINDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        ".lokr_": "LoKr",
        ".hada_": "LoHa",
        ".oft_": "OFT",
        ".boft_": "BOFT",
        ".dora_scale": "DoRA",
        ".lora_magnitude_vector": "DoRA",
        ".lora_mid.": "LoCon with a core (lora_mid)",
        ".ia3_": "IA3",
    }
)
# The image branch of Wan 2.1 image-to-video, which no model here has.
_IMAGE_BRANCH: Final = re.compile(
    r"(^|[._])(k_img|v_img|norm_k_img|img_emb|add_k_proj|add_v_proj|norm_added_k|image_embedder)([._]|$)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraKey:
    """One name, understood."""

    dialect: Dialect
    part: Part | None  # which expert it names; None: it names none
    module: str  # official name; of a modulation, that of the parameter
    role: Role


@dataclass(frozen=True, slots=True)
class Names:
    """The modules of one transformer under every name that LoRA files give them -> their official names."""

    _dotted: Mapping[str, str]
    _underscored: Mapping[str, str]

    @classmethod
    def of(cls, config: TransformerConfig) -> "Names":
        table = transformer_keys(config).modules
        # No name is in both spellings: norm2 of diffusers is norm3 here, and the official norm2 has no parameters.
        dotted = {name: ours for ours, theirs in table.items() for name in (ours, theirs)}
        return cls(dotted, {name.replace(".", "_"): ours for name, ours in dotted.items()})

    def official(self, module: str) -> str | None:
        """The official name of a module under its official or diffusers name."""
        return self._dotted.get(module)

    def parse(self, name: str) -> LoraKey | None:
        """None if a part of the name is unknown."""
        suffix = next((end for end in sorted(_SUFFIXES, key=len, reverse=True) if name.endswith(end)), None)
        if suffix is None:
            return None
        role, body = _SUFFIXES[suffix], name.removesuffix(suffix)
        prefix = next(start for start in sorted(_PREFIXES, key=len, reverse=True) if body.startswith(start))
        dialect, part = _PREFIXES[prefix]
        body = body.removeprefix(prefix)
        dot, table = ("_", self._underscored) if dialect is Dialect.KOHYA else (".", self._dotted)
        if role is Role.DIFF_MODULATION:
            body += f"{dot}modulation"
        module = table.get(body)
        return None if module is None else LoraKey(dialect=dialect, part=part, module=module, role=role)


def other_kind(name: str) -> str | None:
    """What kind of adapter, which is not applied here, the tensor belongs to."""
    return next((kind for mark, kind in _OTHER_KINDS.items() if mark in name), None)


def is_image_branch(name: str) -> bool:
    """Whether the tensor belongs to the image branch of Wan 2.1 image-to-video: it is expected, and of no use."""
    return _IMAGE_BRANCH.search(name) is not None


def number_of_blocks(names: list[str]) -> int:
    """Blocks that the names speak of: one more than the highest number. 0 if they speak of none."""
    found = (re.search(r"(?:^|[._])blocks[._](\d{1,4})[._]", name) for name in names)
    return max((int(match[1]) + 1 for match in found if match), default=0)
