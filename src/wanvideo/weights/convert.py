"""Any checkpoint that we read -> the Diffusers layout, in bfloat16, float8 or int8.

One tensor at a time is in memory. What is written appears under its name when all of it is on the disk, or not at all.
"""

import errno
import json
import os
import shutil
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal

import torch
from torch import Tensor

from wanvideo.errors import DiskFull, InvalidRequest
from wanvideo.models.config import TextEncoderConfig, TransformerConfig
from wanvideo.models.transformer import keeps_fp32
from wanvideo.weights.catalog import ModelSpec
from wanvideo.weights.config_json import FP8_ROWS, INT8_ROWS, config_json
from wanvideo.weights.dequantize import decode
from wanvideo.weights.folder import ModelFolder
from wanvideo.weights.layout import Layout
from wanvideo.weights.loading import check_whole
from wanvideo.weights.network import NetworkPart
from wanvideo.weights.reading import DTYPES, read_tensors
from wanvideo.weights.stored import QUANTISED, Parameter, sort_out
from wanvideo.weights.tokenizer import PromptTokenizer
from wanvideo.weights.variants import Part

_NAMES: Final[Mapping[torch.dtype, str]] = {dtype: name for name, dtype in DTYPES.items()}
_LARGEST: Final = {torch.float8_e4m3fn: 448.0, torch.int8: 127.0}
_SMALLEST_SCALE: Final = 1e-12  # of a row of zeros


class Target(StrEnum):
    """What the matrices of the transformers and the text encoder are written as."""

    BF16 = "bf16"
    FP8 = "fp8"  # the layers of their blocks, with one scale per row; the rest is bfloat16
    INT8 = "int8"  # the same in whole numbers, for GPUs that have no float8


_EIGHT_BIT: Final = {Target.FP8: torch.float8_e4m3fn, Target.INT8: torch.int8}


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """One tensor was written."""

    part: str
    nbytes: int  # of this part, so far
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Output:
    """One tensor to be written."""

    name: str  # in the Diffusers layout
    official: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    role: Literal["value", "scale"] = "value"

    @property
    def nbytes(self) -> int:
        return self.dtype.itemsize * torch.Size(self.shape).numel()


def convert_network(part: NetworkPart[Any], out: Path, target: Target) -> Generator[Written, None, None]:
    """Write a folder with config.json and the weights of one network. Raises InvalidRequest if `out` exists already.

    Also raises DiskFull, before anything is written if that can be known, and the errors of reading `part`.
    """
    with _Draft(out, _total(part, target)) as folder:
        yield from _write_network(part, folder, target, name=part.layout.network)


def convert_model(spec: ModelSpec, model: ModelFolder, out: Path, target: Target) -> Iterator[Written]:
    """Write a whole model as a Diffusers folder; in bfloat16, diffusers opens it too. Raises as above."""
    networks: dict[Part, NetworkPart[Any]] = dict(
        zip((Part.TRANSFORMER, Part.TRANSFORMER_2), model.transformers, strict=False)
    )
    networks |= {Part.VAE: model.vae, Part.TEXT_ENCODER: model.text_encoder}
    with _Draft(out, sum(_total(part, target) for part in networks.values())) as folder:
        for name, part in networks.items():
            yield from _write_network(part, folder / name, target, name=name)
        _write_tokenizer(model.tokenizer, folder / Part.TOKENIZER)
        _write_json(folder / "scheduler" / "scheduler_config.json", _scheduler(spec))
        _write_json(folder / "model_index.json", _index(spec))


class _Draft:
    """A folder beside `out`, which takes its name when everything went well and is removed otherwise."""

    def __init__(self, out: Path, nbytes: int) -> None:
        self.out, self.nbytes = out, nbytes
        self.folder = out.with_name(f"{out.name}.part")

    def __enter__(self) -> Path:
        if self.out.exists():
            raise InvalidRequest(f"{self.out} exists already: give a new name")
        self.out.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.out.parent).free
        if free < self.nbytes:
            raise _disk_full(self.out, self.nbytes, free)
        shutil.rmtree(self.folder, ignore_errors=True)  # of a run that was killed
        self.folder.mkdir()
        return self.folder

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if error is None:
            self.folder.replace(self.out)
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise _disk_full(self.out, self.nbytes, shutil.disk_usage(self.out.parent).free) from error


def _disk_full(out: Path, needed: int, free: int) -> DiskFull:
    return DiskFull(
        f"{needed / 2**30:.1f} GiB are needed for {out}, {free / 2**30:.1f} GiB are free: make room, or choose another "
        "disk",
        facts={"path": str(out), "needed": needed, "free": free},
    )


def _total(part: NetworkPart[Any], target: Target) -> int:
    parameters = sort_out(part.files, part.layout, part.config).parameters
    return sum(output.nbytes for output in _outputs(part, parameters, target))


def _write_network(part: NetworkPart[Any], folder: Path, target: Target, *, name: str) -> Iterator[Written]:
    parameters = check_whole(part)
    outputs = _outputs(part, parameters, target)
    is_scaled = any(output.role == "scale" for output in outputs)
    rows = INT8_ROWS if target is Target.INT8 else FP8_ROWS
    quantised = {"quantization_config": rows} if is_scaled else {}
    _write_json(folder / "config.json", config_json(part.config) | quantised)
    stem = "model" if isinstance(part.config, TextEncoderConfig) else "diffusion_pytorch_model"
    total, done = sum(output.nbytes for output in outputs), 0
    with (folder / f"{stem}.safetensors").open("wb") as file:
        file.write(_header(outputs))
        for nbytes in _write_tensors(file, parameters, outputs):
            done += nbytes
            yield Written(part=name, nbytes=done, total=total)
        file.flush()
        os.fsync(file.fileno())


def _outputs(part: NetworkPart[Any], parameters: Mapping[str, Parameter], target: Target) -> list[_Output]:
    """What is to be written, in the order in which it is read."""
    keys = Layout(network=part.layout.network).keys(part.config)
    by_place = sorted(parameters, key=lambda n: (str(parameters[n].tensor.file.path), parameters[n].tensor.info.start))
    outputs: list[_Output] = []
    for official in by_place:
        info = parameters[official].tensor.info
        name = keys.to_diffusers(official) or official
        is_matrix = _is_matrix_of_block(part, official, info.shape)
        eight_bit = _EIGHT_BIT.get(target) if is_matrix else None
        dtype = eight_bit or _dtype(part, official, info.dtype)
        outputs.append(_Output(name=name, official=official, dtype=dtype, shape=info.shape))
        if eight_bit is not None:
            scale = name.removesuffix("weight") + "weight_scale"
            shape = (info.shape[0], 1)
            outputs.append(_Output(name=scale, official=official, dtype=torch.float32, shape=shape, role="scale"))
    return outputs


def _is_matrix_of_block(part: NetworkPart[Any], official: str, shape: Sequence[int]) -> bool:
    """Of what float8 files usually hold so: not the table of relative positions, and nothing of the autoencoder."""
    is_matrix = len(shape) == 2 and official.startswith("blocks.") and official.endswith(".weight")
    return (
        is_matrix and "pos_embedding" not in official and isinstance(part.config, TransformerConfig | TextEncoderConfig)
    )


def _dtype(part: NetworkPart[Any], official: str, stored: str) -> torch.dtype:
    """bfloat16, but no more is rounded than need be: the autoencoder, and what the official code keeps in float32."""
    is_kept = not isinstance(part.config, TransformerConfig | TextEncoderConfig) or (
        isinstance(part.config, TransformerConfig) and keeps_fp32(official)
    )
    return DTYPES[stored] if is_kept and stored not in QUANTISED else torch.bfloat16


def _write_tensors(file: BinaryIO, parameters: Mapping[str, Parameter], outputs: Sequence[_Output]) -> Iterator[int]:
    """Yield the bytes of each tensor that was written."""
    values = [output for output in outputs if output.role == "value"]
    cpu = torch.device("cpu")
    scales = [parameters[output.official].scale for output in values]
    for output, scale, (_, stored) in zip(
        values, scales, read_tensors([parameters[output.official].tensor for output in values], cpu), strict=True
    ):
        kind = parameters[output.official].tensor.info.dtype
        factor = None
        if scale is not None:
            (_, factor) = next(iter(read_tensors([scale], cpu)))
            factor = factor.float().reshape(-1, *[1] * (stored.dim() - 1))
        for tensor in _values(output, stored, kind, factor):
            file.write(memoryview(tensor.contiguous().view(-1).view(torch.uint8).numpy()))  # type: ignore[arg-type]
            yield tensor.nbytes


def _values(output: _Output, stored: Tensor, kind: str, scale: Tensor | None) -> Iterator[Tensor]:
    """The tensor as written, with its scales if it becomes 8-bit. What is of that type already is not rounded again."""
    if output.dtype not in _LARGEST:
        yield decode(stored, kind, scale, output.dtype)
    elif kind == _NAMES[output.dtype]:
        yield stored
        yield torch.ones(stored.shape[0], 1) if scale is None else scale.expand(stored.shape[0], 1)
    else:
        weight = decode(stored, kind, scale, torch.float32)
        rows = (weight.abs().amax(1, keepdim=True) / _LARGEST[output.dtype]).clamp(min=_SMALLEST_SCALE)
        weight = weight / rows
        yield (weight if output.dtype.is_floating_point else weight.round()).to(output.dtype)
        yield rows


def _header(outputs: Sequence[_Output]) -> bytes:
    """Of a safetensors file, padded so that the data begin at a multiple of 64 bytes."""
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    start = 0
    for output in outputs:
        end = start + output.nbytes
        entries[output.name] = {"dtype": _NAMES[output.dtype], "shape": output.shape, "data_offsets": (start, end)}
        start = end
    text = json.dumps(entries).encode()
    text += b" " * (-(8 + len(text)) % 64)
    return len(text).to_bytes(8, "little") + text


def _write_tokenizer(source: Path, folder: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, folder)
    else:
        PromptTokenizer.from_path(source).save(folder)


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n", "utf-8")


def _scheduler(spec: ModelSpec) -> dict[str, Any]:
    return {
        "_class_name": "UniPCMultistepScheduler",
        "prediction_type": "flow_prediction",
        "use_flow_sigmas": True,
        "flow_shift": spec.defaults.shift,
        "solver_order": 2,
        "solver_type": "bh2",
        "final_sigmas_type": "zero",
        "timestep_spacing": "linspace",
        "num_train_timesteps": 1000,
    }


def _index(spec: ModelSpec) -> dict[str, Any]:
    second = ["diffusers", "WanTransformer3DModel"] if spec.experts == 2 else [None, None]
    return {
        "_class_name": "WanImageToVideoPipeline" if spec.requires_image else "WanPipeline",
        "_diffusers_version": "0.35.0",
        "boundary_ratio": spec.boundary,
        "expand_timesteps": spec.image_in_latents,
        "scheduler": ["diffusers", "UniPCMultistepScheduler"],
        "text_encoder": ["transformers", "UMT5EncoderModel"],
        "tokenizer": ["transformers", "T5TokenizerFast"],
        "transformer": ["diffusers", "WanTransformer3DModel"],
        "transformer_2": second,
        "vae": ["diffusers", "AutoencoderKLWan"],
        **({"image_encoder": [None, None], "image_processor": [None, None]} if spec.requires_image else {}),
    }
