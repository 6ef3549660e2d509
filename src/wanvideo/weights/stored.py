"""The parameters of a network as its files hold them: each with its scale, if it was quantised with one. No torch.

How 8-bit files write scales, X being a linear layer:
- ComfyUI, old: `X.scale_weight` (one number), sometimes `X.scale_input`, and a tensor `scaled_fp8` as a mark.
- ComfyUI, new: `X.weight_scale`, `X.input_scale`, and `X.comfy_quant`, a text in JSON; or the metadata say it.
- LightX2V, and our own files: `X.weight_scale` with one number per row, float8 or int8.
- Plain casts have no scales: their numbers are the weights.
The weight is always `stored * scale`; scales of inputs, which only matter when both sides are multiplied as float8, and
the hint how to multiply that the length of `scaled_fp8` is, do not change it. Source: ComfyUI `comfy/utils.py`.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from wanvideo.errors import ModelCorrupt, ModelMismatch
from wanvideo.weights.gguf import BLOCKS
from wanvideo.weights.headers import TensorInfo, WeightFile
from wanvideo.weights.layout import Config, Layout

FLOATS: Final = frozenset({"F64", "F32", "F16", "BF16"})
EIGHT_BIT: Final = frozenset({"F8_E4M3", "F8_E5M2", "I8"})
QUANTISED: Final = EIGHT_BIT | BLOCKS.keys()

_SCALES: Final = (".scale_weight", ".weight_scale")
_INPUT_SCALES: Final = (".scale_input", ".input_scale")
_DESCRIPTION: Final = ".comfy_quant"
_MARKER: Final = "scaled_fp8"
EMBEDDED: Final = "spiece_model"  # the tokenizer, in ComfyUI's text encoder files
_DESCRIPTIONS: Final = "_quantization_metadata"  # in the metadata: all of them in one
_FORMATS: Final[Mapping[str, str]] = {"float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2"}
_LONGEST_DESCRIPTION: Final = 1 << 16  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTensor:
    """One tensor and the file that holds it."""

    file: WeightFile
    info: TensorInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of a network as stored: its value is `tensor * scale`."""

    tensor: StoredTensor
    scale: StoredTensor | None = None

    @property
    def is_quantised(self) -> bool:
        """Whether it takes less memory as it is than in 16 bits, or cannot be told without its scale."""
        return self.tensor.info.dtype in QUANTISED or self.scale is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """All of a network's files, sorted out."""

    parameters: Mapping[str, Parameter]  # by official name
    unknown: Sequence[str] = field(default_factory=list)  # names in the files that the network does not have


def sort_out(files: Sequence[WeightFile], layout: Layout, config: Config) -> Contents:
    """Match the tensors of `files` with the parameters of a network; shapes are not looked at.

    Raises ModelMismatch for ways of quantising that are not read, ModelCorrupt if a description is damaged.
    """
    tensors = {name: StoredTensor(file=file, info=info) for file in files for name, info in file.tensors.items()}
    plain, scales, described = _split(tensors, layout.prefix)
    _check_formats(_descriptions(files, described), plain, layout.prefix)
    keys, aliases = layout.keys(config), layout.aliases
    parameters: dict[str, Parameter] = {}
    unknown: list[str] = []
    for name, tensor in plain.items():
        bare = name.removeprefix(layout.prefix)
        first = aliases.get(bare)
        # A tensor under its second name is a duplicate, unless it has no other.
        if first is not None and layout.prefix + first in plain:
            continue
        official = keys.to_official(first or bare) if name.startswith(layout.prefix) else None
        if official is None or official in parameters:
            unknown.append(name)
        else:
            parameters[official] = Parameter(tensor=tensor, scale=scales.pop(name, None))
    return Contents(parameters=parameters, unknown=unknown + [scale.info.name for scale in scales.values()])


def _split(
    tensors: Mapping[str, StoredTensor], prefix: str
) -> tuple[dict[str, StoredTensor], dict[str, StoredTensor], dict[str, StoredTensor]]:
    """Weights by name, their scales by the name of the weight, and descriptions by the name of the layer."""
    plain: dict[str, StoredTensor] = {}
    scales: dict[str, StoredTensor] = {}
    described: dict[str, StoredTensor] = {}
    for name, tensor in tensors.items():
        if scale := _suffix(name, _SCALES):
            scales[name.removesuffix(scale) + ".weight"] = tensor
        elif name.endswith(_DESCRIPTION):
            described[name.removesuffix(_DESCRIPTION)] = tensor
        elif not _suffix(name, _INPUT_SCALES) and name.removeprefix(prefix) not in (_MARKER, EMBEDDED):
            plain[name] = tensor
    return plain, scales, described


def _suffix(name: str, suffixes: Iterable[str]) -> str | None:
    return next((suffix for suffix in suffixes if name.endswith(suffix)), None)


def _descriptions(files: Sequence[WeightFile], described: Mapping[str, StoredTensor]) -> dict[str, Any]:
    """What is said about each layer, wherever it is said."""
    found = {layer: _json(tensor.file, _text(tensor)) for layer, tensor in described.items()}
    for file in files:
        if text := file.metadata.get(_DESCRIPTIONS):
            layers = _json(file, text).get("layers")
            found |= layers if isinstance(layers, dict) else {}
    return found


def _check_formats(descriptions: Mapping[str, Any], plain: Mapping[str, StoredTensor], prefix: str) -> None:
    """Raises ModelMismatch if a layer is stored in another way than `Parameter` says."""
    for layer, description in descriptions.items():
        weight = plain.get(f"{layer}.weight") or plain.get(f"{prefix}{layer}.weight")
        format_ = description.get("format") if isinstance(description, dict) else None
        if weight is not None and (not isinstance(format_, str) or _FORMATS.get(format_) != weight.info.dtype):
            raise ModelMismatch(
                f"{weight.file.path}: layer {layer!r:.100} is quantised as {format_!r:.100} in {weight.info.dtype}, "
                f"which is not read: get the model as scaled float8, GGUF or in 16 bits",
                facts={"file": str(weight.file.path), "format": format_ if isinstance(format_, str) else None},
            )


def _text(tensor: StoredTensor) -> str:
    """A tensor of bytes as text; empty if it is too long or no text, so that it is no JSON either."""
    info = tensor.info
    if info.nbytes > _LONGEST_DESCRIPTION:
        return ""
    return read_bytes(tensor).rstrip(b"\0").decode("utf-8", errors="replace")


def _json(file: WeightFile, text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ModelCorrupt(f"{file.path} is damaged: how its layers are quantised is said in no JSON that we can read")
    return value


def read_bytes(tensor: StoredTensor) -> bytes:
    """The bytes of a small tensor. Raises ModelCorrupt if the file has become shorter."""
    path, info = tensor.file.path, tensor.info
    try:
        with path.open("rb") as file:
            file.seek(info.start)
            data = file.read(info.nbytes)
    except OSError as error:
        raise ModelCorrupt(f"{path} cannot be read: {error.strerror}") from error
    if len(data) != info.nbytes:
        raise ModelCorrupt(f"{path} is truncated: tensor {info.name!r:.100} is not whole: download it again")
    return data


def has_scale_shape(scale: TensorInfo, weight: TensorInfo) -> bool:
    """Whether it is one number, or one number per row."""
    return math.prod(scale.shape) == 1 or scale.shape in ((*weight.shape[:1], 1), weight.shape[:1])
