"""A whole model on disk: a Diffusers folder, or parts that lie in several places, checked before anything is loaded.

No torch. Only JSON and the headers of weight files are read, so that opening a 126 GB model takes milliseconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from wanvideo.errors import ModelIncomplete, ModelMismatch, ModelMissing
from wanvideo.models.config import TextEncoderConfig, TransformerConfig, VAEConfig
from wanvideo.request import Task
from wanvideo.weights.catalog import MODELS, ModelSpec
from wanvideo.weights.config_json import read_text_encoder_config, read_transformer_config, read_vae_config
from wanvideo.weights.headers import read_json, read_weights
from wanvideo.weights.layout import Layout, Network
from wanvideo.weights.network import NetworkPart
from wanvideo.weights.places import MODEL_INDEX
from wanvideo.weights.variants import Part

_PIPELINES: Final = ("WanPipeline", "WanImageToVideoPipeline")
_CLASSES: Final[Mapping[Part, str]] = {
    Part.TRANSFORMER: "WanTransformer3DModel",
    Part.TRANSFORMER_2: "WanTransformer3DModel",
    Part.VAE: "AutoencoderKLWan",
    Part.TEXT_ENCODER: "UMT5EncoderModel",
}
_DIFFUSERS_STEM: Final = "diffusion_pytorch_model"
_TRANSFORMERS_STEM: Final = "model"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFolder:
    """A whole model on disk, complete and of a known architecture; its parts need not lie in one folder."""

    path: Path  # of the folder, or of the first transformer where there is none
    transformers: tuple[NetworkPart[TransformerConfig], ...]  # one, or the high-noise and then the low-noise expert
    vae: NetworkPart[VAEConfig]
    text_encoder: NetworkPart[TextEncoderConfig]
    tokenizer: Path  # folder with a tokenizer.json, or a file that is or holds a SentencePiece model
    boundary: float | None  # what the folder says; None: nothing
    expand_timesteps: bool | None

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors, as stored."""
        transformers = sum(part.nbytes for part in self.transformers)
        return transformers + self.vae.nbytes + self.text_encoder.nbytes

    @property
    def precision(self) -> str:
        """How the transformers are stored: "bf16", "fp8", "q4_k_m", ..."""
        return " and ".join(dict.fromkeys(part.precision for part in self.transformers))

    @property
    def paths(self) -> Mapping[Part, Path]:
        """Where each part lies."""
        experts = (Part.TRANSFORMER, Part.TRANSFORMER_2)
        return {
            **{name: part.path for name, part in zip(experts, self.transformers, strict=False)},
            Part.VAE: self.vae.path,
            Part.TEXT_ENCODER: self.text_encoder.path,
            Part.TOKENIZER: self.tokenizer,
        }


def open_folder(path: Path) -> ModelFolder:
    """Open a Diffusers-layout folder, or that of a demo model, some of whose parts lie beside it.

    Raises ModelMissing if there is no such folder, ModelIncomplete if files are missing, ModelCorrupt if files are
    damaged, ModelMismatch if it is not a Wan model that we can run.
    """
    try:
        if not path.is_dir():
            kind = "is a file" if path.exists() else "does not exist"
            raise ModelMissing(f"{path} {kind}: give the folder that holds {MODEL_INDEX}", facts={"folder": str(path)})
        if not (path / MODEL_INDEX).exists():
            raise _no_index(path)
        folder = _open(path, _part_folders(path))
    except OSError as error:
        raise ModelMissing(f"{path} cannot be read: {error.strerror}", facts={"folder": str(path)}) from error
    _check_fit(folder)
    return folder


def _open(path: Path, parts: Mapping[Part, Path]) -> ModelFolder:
    index = read_json(path / MODEL_INDEX)
    _check_classes(path / MODEL_INDEX, index)
    experts = [Part.TRANSFORMER, Part.TRANSFORMER_2] if _class_of(index, Part.TRANSFORMER_2) else [Part.TRANSFORMER]
    vae, text_encoder = parts[Part.VAE], parts[Part.TEXT_ENCODER]
    return ModelFolder(
        path=path,
        transformers=tuple(_open_transformer(parts[expert]) for expert in experts),
        vae=NetworkPart(
            path=vae,
            layout=Layout(network=Network.VAE),
            config=read_vae_config(vae / "config.json"),
            files=read_weights(vae, _DIFFUSERS_STEM),
        ),
        text_encoder=NetworkPart(
            path=text_encoder,
            layout=Layout(network=Network.TEXT_ENCODER),
            config=read_text_encoder_config(text_encoder / "config.json"),
            files=read_weights(text_encoder, _TRANSFORMERS_STEM),
        ),
        tokenizer=parts[Part.TOKENIZER],
        boundary=_boundary(path / MODEL_INDEX, index),
        expand_timesteps=_flag(path / MODEL_INDEX, index, "expand_timesteps"),
    )


def spec_of(folder: ModelFolder) -> ModelSpec:
    """The catalogue's entry for a folder, with what the folder itself says in it.

    Other widths and depths than in the catalogue are taken for a relative of the real model with the same channels and
    number of experts, and get its defaults. Raises ModelMismatch if there is none.
    """
    config, experts = folder.transformers[0].config, len(folder.transformers)
    exact = (s for s in MODELS if (s.transformer, s.experts) == (config, experts))
    channels = (config.in_channels, config.out_channels, experts)
    alike = (s for s in MODELS if (s.transformer.in_channels, s.transformer.out_channels, s.experts) == channels)
    known = next(exact, None)
    spec = known or next(alike, None)
    if spec is None:
        raise ModelMismatch(
            f"{folder.path}: no Wan model that we can run has {experts} transformers with {config.in_channels} input "
            f"and {config.out_channels} output channels: use one of {', '.join(s.id for s in MODELS)}"
        )
    if known is None:
        name = folder.path.resolve().name
        spec = replace(spec, id=name, title=f"{name}, of the kind of {spec.title}", transformer=config, repo_id=None)
    if spec.experts == 2 and folder.boundary is not None:
        spec = replace(spec, boundary=folder.boundary)
    if spec.image_in_latents and folder.expand_timesteps is False:
        spec = replace(spec, image_in_latents=False, tasks=frozenset({Task.TEXT_TO_VIDEO}))
    return replace(spec, vae=folder.vae.config, text_encoder=folder.text_encoder.config)


def _open_transformer(folder: Path) -> NetworkPart[TransformerConfig]:
    return NetworkPart(
        path=folder,
        layout=Layout(network=Network.TRANSFORMER),
        config=read_transformer_config(folder / "config.json"),
        files=read_weights(folder, _DIFFUSERS_STEM),
    )


def _part_folders(path: Path) -> Mapping[Part, Path]:
    """Where the parts lie: below `path`, unless it is a demo model, for which the catalogue says."""
    demos = path.resolve().parent
    for spec in MODELS:
        if spec.demo and path.resolve().name == spec.id and (demos / "shared").is_dir():
            return {part: demos / where for part, where in spec.parts.items()}
    return {part: path / part.value for part in Part}


def _class_of(index: Mapping[str, Any], part: str) -> str | None:
    """Class name of a part in model_index.json; None where the model has no such part."""
    entry = index.get(part)
    name = entry[1] if isinstance(entry, list) and len(entry) == 2 else None
    return name if isinstance(name, str) else None


def _check_classes(path: Path, index: Mapping[str, Any]) -> None:
    pipeline = index.get("_class_name")
    if pipeline not in _PIPELINES:
        raise ModelMismatch(f"{path} says {pipeline!r:.100}, not {' or '.join(_PIPELINES)}: this is another model")
    if _class_of(index, "image_encoder"):
        raise ModelMismatch(f"{path} has an image encoder, as Wan 2.1 image-to-video does: use i2v-A14B or ti2v-5B")
    for part, wanted in _CLASSES.items():
        name = _class_of(index, part)
        if name != wanted and not (name is None and part is Part.TRANSFORMER_2):
            raise ModelMismatch(f"{path} says that {part} is {name!r:.100}, not {wanted}: this is another model")


def _boundary(path: Path, index: Mapping[str, Any]) -> float | None:
    value = index.get("boundary_ratio")
    if value is not None and (type(value) not in (int, float) or not 0 < value < 1):
        raise ModelMismatch(f"{path}: boundary_ratio is {value!r:.100}, and a number between 0 and 1 is needed")
    return value


def _flag(path: Path, index: Mapping[str, Any], key: str) -> bool | None:
    value = index.get(key)
    if not isinstance(value, bool | None):
        raise ModelMismatch(f"{path}: {key} is {value!r:.100}, and true or false is needed")
    return value


def _check_fit(folder: ModelFolder) -> None:
    """The parts must be made for one another."""
    if not (folder.tokenizer / "tokenizer.json").is_file():
        raise ModelIncomplete(f"{folder.tokenizer / 'tokenizer.json'} is missing: continue the download")
    first = folder.transformers[0]
    for other in folder.transformers[1:]:
        if other.config != first.config:
            raise ModelMismatch(f"{first.path} and {other.path} have different architectures: use one model's")
    if first.config.text_dim != folder.text_encoder.config.dim:
        raise ModelMismatch(
            f"{first.path} takes text of width {first.config.text_dim}, {folder.text_encoder.path} gives "
            f"{folder.text_encoder.config.dim}: use one model's"
        )
    if first.config.out_channels != folder.vae.config.z_dim:
        raise ModelMismatch(
            f"{first.path} makes latents of {first.config.out_channels} channels, {folder.vae.path} takes "
            f"{folder.vae.config.z_dim}: use one model's"
        )


def _no_index(path: Path) -> ModelMismatch | ModelIncomplete:
    """Say what a folder without model_index.json is."""
    if (path / "high_noise_model").is_dir() or (path / "models_t5_umt5-xxl-enc-bf16.pth").exists():
        repositories = ", ".join(spec.repo_id for spec in MODELS if spec.repo_id and spec.base is None)
        return ModelMismatch(f"{path} is in the layout of the official code: get one of {repositories}")
    return ModelIncomplete(f"{path} has no {MODEL_INDEX}: continue the download, or give the folder that holds it")
