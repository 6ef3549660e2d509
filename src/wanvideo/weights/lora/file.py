"""One LoRA file: what its header says it holds, and how that fits a transformer. No torch, no tensor data.

Only the header is read, and the alphas, which are single numbers. So whether a LoRA can be used is known in
milliseconds, before anything is loaded.
"""

import hashlib
import json
import math
import struct
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Final

from wanvideo.errors import (
    LoraCorrupt,
    LoraNotFound,
    LoraUnsafeFormat,
    LoraUnsupported,
    LoraWrongBase,
    ModelCorrupt,
    ModelIncomplete,
)
from wanvideo.models.config import T2V_A14B, TransformerConfig
from wanvideo.weights.headers import TensorInfo, WeightFile, is_pickle, read_header, some
from wanvideo.weights.lora.keys import Dialect, LoraKey, Names, Role, is_image_branch, number_of_blocks, other_kind
from wanvideo.weights.variants import Part

MAX_RANK: Final = 1024  # of the files seen so far, none has more than 256
MAX_HEADER: Final = 16 << 20  # bytes; that of a LoRA for all Linears of A14B has 0.2 MB
_FLOATS: Final = frozenset({"F64", "F32", "F16", "BF16"})
_SCALARS: Final[Mapping[str, str]] = {
    "F64": "<d", "F32": "<f", "F16": "<e", "I64": "<q", "I32": "<i", "I16": "<h", "I8": "<b", "U8": "<B",
}  # fmt: skip
_BASES: Final[Mapping[int, str]] = {
    5120: "Wan 14B or A14B",
    3072: "Wan 2.2 5B",
    1536: "Wan 2.1 1.3B",
    128: "the demo models",
}
_REPLACE: Final = "delete it and get it again"
_SAMPLES: Final = 64  # places in a file that its digest looks at
_SAMPLE: Final = 4096  # bytes each


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraTarget:
    """What a LoRA adds to one module: scale * up @ down, and whole differences, each times the strength."""

    part: Part | None  # the expert, where the names of the tensors say which
    module: str  # official name; of a modulation, that of the parameter
    down: TensorInfo | None = None  # [r, in, ...]
    up: TensorInfo | None = None  # [out, r, ...]
    scale: float = 1.0  # alpha / r, or 1
    diff: TensorInfo | None = None  # of the weight, or of the parameter
    diff_bias: TensorInfo | None = None

    @property
    def rank(self) -> int | None:
        return None if self.down is None else self.down.shape[0]

    @property
    def tensors(self) -> tuple[TensorInfo, ...]:
        return tuple(info for info in (self.down, self.up, self.diff, self.diff_bias) if info is not None)

    def shape(self) -> tuple[int, ...] | None:
        """Of the weight that this belongs to; None if only a bias is changed."""
        if self.down is not None and self.up is not None:
            return self.up.shape[0], *self.down.shape[1:]
        return None if self.diff is None else self.diff.shape


def bytes_in_16_bits(targets: Iterable[LoraTarget]) -> int:
    """What they take in memory, whatever their file has."""
    return 2 * sum(math.prod(info.shape) for target in targets for info in target.tensors)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraFile:
    """One LoRA on disk, whose header makes sense."""

    path: Path
    dialect: Dialect
    targets: tuple[LoraTarget, ...]
    image_branch: tuple[str, ...]  # tensors for the image branch of Wan 2.1, which are left out
    unknown: tuple[str, ...]  # tensors that no Wan transformer has a place for
    metadata: Mapping[str, str]
    nbytes: int  # of the file
    digest: str  # changes with the content; see `_digest`

    @property
    def parts(self) -> frozenset[Part]:
        """The experts that the names of its tensors tell apart: both, or none."""
        named = frozenset(target.part for target in self.targets if target.part is not None)
        # A file with `transformer.` alone was made with one network in mind, and says nothing about experts.
        return named if Part.TRANSFORMER_2 in named else frozenset()

    @property
    def width(self) -> int | None:
        """Width D of the transformer that it was made for, as its attention has it."""
        widths = (shape[-1] for target in self.targets if "attn." in target.module and (shape := target.shape()))
        return next(iter(Counter(widths).most_common(1)), (None, 0))[0]

    @property
    def base(self) -> str:
        """What it was made for, in words."""
        return "an unknown model" if self.width is None else _BASES.get(self.width, f"a model of width {self.width}")

    @property
    def ranks(self) -> tuple[int, ...]:
        """All that occur, falling."""
        return tuple(sorted({target.rank for target in self.targets if target.rank is not None}, reverse=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraFit:
    """How a LoRA goes together with one architecture."""

    file: LoraFile
    targets: tuple[LoraTarget, ...]  # that have a place
    misfits: tuple[str, ...]  # tensors that have none, or have another shape

    def of(self, part: Part) -> tuple[LoraTarget, ...]:
        """What is for one expert, if the file has both; all of it, wherever it is to go, if not."""
        return tuple(target for target in self.targets if len(self.file.parts) < 2 or target.part is part)

    @property
    def remark(self) -> str | None:
        """What is left out, in words, if anything is."""
        total = len(self.misfits) + len(self.file.image_branch) + sum(len(target.tensors) for target in self.targets)
        said = []
        if self.misfits:
            said.append(f"{len(self.misfits)} of {total} tensors have no place in this model ({some(self.misfits)})")
        if self.file.image_branch:
            said.append(
                f"{len(self.file.image_branch)} are for the image branch of Wan 2.1, which this model does not have"
            )
        return "; ".join(said) or None


def read_lora(path: Path) -> LoraFile:
    """What a LoRA file holds.

    Raises LoraNotFound if there is no such file, LoraUnsafeFormat for a pickle, LoraUnsupported for an adapter of
    another kind, LoraCorrupt for anything that is no LoRA for a Wan transformer, or not all of one.
    """
    header = _header(path)
    kinds = sorted({kind for name in header.tensors if (kind := other_kind(name))})
    if kinds:
        raise LoraUnsupported(
            f"{path} is a {' and '.join(kinds)}, and only LoRA (down and up matrices, whole differences) is applied: "
            "get it as a LoRA, or have the tool that made it extract one",
            facts={"path": str(path), "kind": kinds[0]},
        )
    names = Names.of(replace(T2V_A14B, num_layers=max(1, number_of_blocks(list(header.tensors)))))
    keys = {name: names.parse(name) for name in header.tensors}
    known = {name: key for name, key in keys.items() if key is not None}
    targets = _targets(path, header, names, known)
    if not targets:
        raise LoraCorrupt(
            f"{path} holds no LoRA for a Wan transformer: none of its {len(keys)} tensors ({some(list(keys))}) "
            "is known: get a LoRA for Wan",
            facts={"path": str(path), "tensors": len(keys)},
        )
    lost = [name for name, key in keys.items() if key is None]
    return LoraFile(
        path=path,
        dialect=Counter(key.dialect for key in known.values()).most_common(1)[0][0],
        targets=targets,
        image_branch=tuple(name for name in lost if is_image_branch(name)),
        unknown=tuple(name for name in lost if not is_image_branch(name)),
        metadata=header.metadata,
        nbytes=path.stat().st_size,
        digest=_digest(path),
    )


def fit(file: LoraFile, config: TransformerConfig) -> LoraFit:
    """Which of the LoRA's targets the transformer has. Raises LoraWrongBase if it is made for another one."""
    shapes = parameter_shapes(config)
    fitting, misfits = [], list(file.unknown)
    for target in file.targets:
        if _fits(target, shapes):
            fitting.append(target)
        else:
            misfits += [info.name for info in target.tensors]
    if not fitting or file.width not in (None, config.dim):
        raise LoraWrongBase(
            f"{file.path.name} was made for {file.base} (width {file.width}), and this model has width {config.dim}: "
            f"use a LoRA for {_BASES.get(config.dim, 'this model')}, or the model that it was made for",
            facts={"path": str(file.path), "width": file.width, "model_width": config.dim, "matched": len(fitting)},
        )
    return LoraFit(file=file, targets=tuple(fitting), misfits=tuple(misfits))


def parameter_shapes(config: TransformerConfig) -> dict[str, tuple[int, ...]]:
    """The shape of every weight (under its module's name), bias and modulation of a transformer."""
    dim, ffn = config.dim, config.ffn_dim
    linears = {f"{kind}_attn.{x}": (dim, dim) for kind in ("self", "cross") for x in "qkvo"}
    linears |= {"ffn.0": (ffn, dim), "ffn.2": (dim, ffn)}
    norms = {f"{kind}_attn.norm_{x}": (dim,) for kind in ("self", "cross") for x in "qk"}
    outside = {
        "patch_embedding": (dim, config.in_channels, *config.patch),
        "text_embedding.0": (dim, config.text_dim),
        "text_embedding.2": (dim, dim),
        "time_embedding.0": (dim, config.freq_dim),
        "time_embedding.2": (dim, dim),
        "time_projection.1": (6 * dim, dim),
        "head.head": (math.prod(config.patch) * config.out_channels, dim),
    }
    with_bias: dict[str, tuple[int, ...]] = dict(outside)
    without: dict[str, tuple[int, ...]] = {"head.modulation": (1, 2, dim)}
    for i in range(config.num_layers):
        with_bias |= {f"blocks.{i}.{name}": shape for name, shape in {**linears, "norm3": (dim,)}.items()}
        without |= {f"blocks.{i}.{name}": shape for name, shape in {**norms, "modulation": (1, 6, dim)}.items()}
    return with_bias | without | {f"{name}.bias": shape[:1] for name, shape in with_bias.items()}


def _fits(target: LoraTarget, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    weight, bias = shapes.get(target.module), shapes.get(f"{target.module}.bias")
    if weight is None or (target.diff_bias is not None and target.diff_bias.shape != bias):
        return False
    for shape in (target.shape(), None if target.diff is None else target.diff.shape):
        if shape is not None and shape != weight:
            return False
    return True


# --- reading ---------------------------------------------------------------------------------------------------------


def _header(path: Path) -> WeightFile:
    """Its header, with errors that speak of LoRAs."""
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except IsADirectoryError:
        raise LoraNotFound(f"{path} is a folder, not a LoRA file: name a .safetensors file in it") from None
    except OSError as error:
        raise LoraNotFound(
            f"{path} cannot be opened ({error.strerror}): give the path of a .safetensors file"
        ) from error
    if is_pickle(head):
        raise LoraUnsafeFormat(
            f"{path} is a pickle, which can run any code when it is opened, and is not read whatever its name: "
            "get the LoRA as safetensors, or convert it where you trust it",
            facts={"path": str(path)},
        )
    if head[8:9] == b"{" and (length := int.from_bytes(head[:8], "little")) > MAX_HEADER:
        raise _damaged(path, f"its header is said to have {length} bytes, and at most {MAX_HEADER} make sense")
    try:
        return read_header(path)
    except (ModelCorrupt, ModelIncomplete) as error:
        raise LoraCorrupt(error.message, facts=error.facts) from error


def _targets(path: Path, header: WeightFile, names: Names, keys: Mapping[str, LoraKey]) -> tuple[LoraTarget, ...]:
    """The tensors, put together module by module and checked."""
    grouped: dict[tuple[Part | None, str], dict[Role, TensorInfo]] = {}
    for name, key in keys.items():
        roles = grouped.setdefault((key.part, key.module), {})
        role = Role.DIFF if key.role is Role.DIFF_MODULATION else key.role
        if role in roles:
            raise _damaged(path, f"{name} and {roles[role].name} are the same tensor under two names")
        roles[role] = header.tensors[name]
    config = _peft_config(path, header.metadata)
    with path.open("rb") as file:
        made = [
            _target(path, file, part, module, roles, names, config)
            for (part, module), roles in grouped.items()
            if roles.keys() != {Role.ALPHA}
        ]
    return tuple(made)


def _target(
    path: Path,
    file: BinaryIO,
    part: Part | None,
    module: str,
    roles: Mapping[Role, TensorInfo],
    names: Names,
    config: Mapping[str, Any],
) -> LoraTarget:
    down, up = roles.get(Role.DOWN), roles.get(Role.UP)
    for info in roles.values():
        if info.dtype not in _FLOATS and info is not roles.get(Role.ALPHA):
            raise LoraUnsupported(f"{path}: tensor {info.name} has the type {info.dtype}, and a float is needed")
    if (down is None) != (up is None):
        present = down or up
        assert present is not None
        raise _damaged(path, f"{present.name} lacks its other half")
    scale = 1.0
    if down is not None and up is not None:
        _check_rank(path, down, up)
        rank = down.shape[0]
        alpha = roles.get(Role.ALPHA)
        scale = _peft_scale(config, names, part, module, rank) if alpha is None else _scalar(path, file, alpha) / rank
        if not math.isfinite(scale) or abs(scale) > MAX_RANK:
            raise _damaged(path, f"the alpha of {module} makes the scale {scale:g}")
    return LoraTarget(
        part=part,
        module=module,
        down=down,
        up=up,
        scale=scale,
        diff=roles.get(Role.DIFF),
        diff_bias=roles.get(Role.DIFF_BIAS),
    )


def _check_rank(path: Path, down: TensorInfo, up: TensorInfo) -> None:
    if len(down.shape) < 2 or len(up.shape) != len(down.shape) or up.shape[1] != down.shape[0]:
        raise _damaged(path, f"{down.name} {list(down.shape)} and {up.name} {list(up.shape)} are no pair")
    if math.prod(up.shape[2:]) != 1:
        raise _damaged(path, f"{up.name} {list(up.shape)} is no matrix")
    rank, most = down.shape[0], min(MAX_RANK, up.shape[0], math.prod(down.shape[1:]))
    if not 1 <= rank <= most:
        raise _damaged(path, f"{down.name} has rank {rank}, and 1 to {most} make sense")


def _scalar(path: Path, file: BinaryIO, info: TensorInfo) -> float:
    """The one number in a tensor of whatever type; int64 is in the wild."""
    if math.prod(info.shape) != 1 or info.dtype not in {*_SCALARS, "BF16"}:
        raise _damaged(path, f"{info.name} {info.dtype} {list(info.shape)} is no number")
    file.seek(info.start)
    data = file.read(info.nbytes)
    if info.dtype == "BF16":
        return float(struct.unpack("<f", b"\0\0" + data)[0])
    return float(struct.unpack(_SCALARS[info.dtype], data)[0])


def _peft_config(path: Path, metadata: Mapping[str, str]) -> Mapping[str, Any]:
    """What PEFT says of alphas: in the metadata, by network, as diffusers writes it, or in a file beside.

    Keys such as "transformer.lora_alpha"; without a prefix in PEFT's own adapter_config.json.
    """
    if text := metadata.get("lora_adapter_metadata"):
        config = _json(text)
    elif path.name == "adapter_model.safetensors" and path.with_name("adapter_config.json").is_file():
        with path.with_name("adapter_config.json").open("rb") as file:
            config = _json(file.read(MAX_HEADER).decode("utf-8", "replace"))
    else:
        return {}
    if not isinstance(config, dict):
        raise _damaged(path, "its PEFT configuration is not a JSON object")
    return config


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _peft_scale(config: Mapping[str, Any], names: Names, part: Part | None, module: str, rank: int) -> float:
    """alpha / r, as PEFT has it; without a word about alpha, 1."""
    prefix = f"{part.value}." if part is not None else ""
    alpha = config.get(f"{prefix}lora_alpha")
    pattern = config.get(f"{prefix}alpha_pattern")
    if isinstance(pattern, dict):
        alpha = next((value for name, value in pattern.items() if names.official(name) == module), alpha)
    if isinstance(alpha, bool) or not isinstance(alpha, int | float):
        return 1.0
    return alpha / math.sqrt(rank) if config.get(f"{prefix}use_rslora") is True else alpha / rank


def _digest(path: Path) -> str:
    """Of the size, the header and samples all over the data: milliseconds, where all of a large file takes seconds."""
    size = path.stat().st_size
    mark = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        header = int.from_bytes(file.read(8), "little")
        mark.update(file.read(header))
        for i in range(_SAMPLES):
            file.seek(8 + header + (size - 8 - header) * i // _SAMPLES)
            mark.update(file.read(_SAMPLE))
    return mark.hexdigest()[:16]


def _damaged(path: Path, how: str) -> LoraCorrupt:
    return LoraCorrupt(f"{path} is damaged: {how}: {_REPLACE}", facts={"path": str(path)})
