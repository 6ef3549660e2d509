"""`wan info`: the settings inside a video or picture, or the facts of a model."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from wanvideo.cli.environment import places
from wanvideo.cli.models import about, model_names, usage
from wanvideo.cli.output import Output, table
from wanvideo.cli.values import existing
from wanvideo.errors import UnknownModel
from wanvideo.families.presence import Presence, look_for
from wanvideo.families.registry import installed_families
from wanvideo.models.config import TextEncoderConfig, TransformerConfig, VAEConfig
from wanvideo.weights.catalog import ModelSpec

if TYPE_CHECKING:
    from torch import nn

MEDIA_SUFFIXES: Final = frozenset({".mp4", ".png", ".jpg", ".jpeg", ".webp"})


def info(
    name: Annotated[
        str,
        typer.Argument(
            metavar="FILE|MODEL",
            help="A video or picture, a model's name, or a model's folder.",
            autocompletion=model_names,
        ),
    ],
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Show the settings that made a video or picture, or the facts of a model."""
    output, path, families = Output(json=json), existing(name), installed_families()
    search = families.look_in(places())
    try:
        presence = look_for(families.resolve(name), search)
    except UnknownModel as error:
        if path is not None and path.is_dir():
            model = search.open(path)
            presence = Presence(spec=model.entry, model=model)
        elif path is not None or Path(name).suffix.lower() in MEDIA_SUFFIXES:
            _show_file(output, Path(name))
            return
        else:
            message = f"there is no file {name!r:.100}, and {error.message}"
            raise UnknownModel(message, suggestions=error.suggestions, facts=error.facts) from error
    _show_model(output, presence)


# --- files -----------------------------------------------------------------------------------------------------------


def _show_file(output: Output, path: Path) -> None:
    from wanvideo.media.info import read_settings

    media = read_settings(path)
    comment = media.comment if media.settings is None else None  # or it would be there twice
    output.event("file", **asdict(replace(media, comment=comment)))
    shown = {
        "file": media.path,
        "picture": f"{media.width}x{media.height}, {media.codec}, {media.pix_fmt}",
        "length": f"{media.frames} frames at {media.fps:g} fps, {media.seconds:.2f} s"
        if media.fps and media.seconds
        else None,
    }
    output.result(table(shown))
    if media.settings is not None:
        output.result(f"\nmade with\n{table(_flat(media.settings))}")
    else:
        output.result(f"\nno settings inside{f', but this comment: {comment}' if comment else ''}")


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, object]:
    """Nested objects as `outer.inner`, lists as JSON; empty ones are left out."""
    flat: dict[str, object] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            flat[f"{prefix}{key}"] = dumps(value, ensure_ascii=False) if value else None
        else:
            flat[f"{prefix}{key}"] = value
    return flat


# --- models ----------------------------------------------------------------------------------------------------------


def _show_model(output: Output, presence: Presence) -> None:
    spec = presence.model.entry if presence.model else presence.spec
    parameters = _parameters(spec) if isinstance(spec, ModelSpec) else {}
    output.event(
        "model",
        **presence.facts(),
        experts=spec.experts,
        defaults=asdict(spec.defaults),
        limits=asdict(spec.limits),
        **(_architecture_facts(spec, parameters) if isinstance(spec, ModelSpec) else {}),
    )
    architecture = _architecture(spec, parameters) if isinstance(spec, ModelSpec) else {}
    output.result(table(about(replace(presence, spec=spec)) | architecture | usage(spec)))


def _architecture_facts(spec: ModelSpec, parameters: Mapping[str, int]) -> dict[str, object]:
    return {
        "boundary": spec.boundary,
        "parameters": parameters,
        "architecture": {
            "transformer": asdict(spec.transformer),
            "vae": asdict(spec.vae) if spec.vae else None,
            "text_encoder": asdict(spec.text_encoder) if spec.text_encoder else None,
        },
    }


def _architecture(spec: ModelSpec, parameters: Mapping[str, int]) -> dict[str, object]:
    transformer, text = spec.transformer, spec.text_encoder
    experts = f"{spec.experts} experts, switched at {spec.boundary}, each " if spec.experts == 2 else ""
    return {
        "transformer": f"{experts}{transformer.num_layers} blocks of width {transformer.dim}, "
        f"{transformer.num_heads} heads{_count(parameters, 'transformer')}",
        "vae": f"{spec.vae.z_dim} channels, {spec.vae.spatial_stride}x{spec.vae.spatial_stride} pixels and "
        f"{spec.vae.temporal_stride} frames to a latent{_count(parameters, 'vae')}"
        if spec.vae
        else None,
        "text encoder": f"{text.num_layers} blocks of width {text.dim}{_count(parameters, 'text_encoder')}"
        if text
        else None,
    }


def _count(parameters: Mapping[str, int], part: str) -> str:
    count = parameters.get(part)
    if count is None:
        return ""
    return f", {count / 1e9:.2f} billion parameters" if count >= 1e9 else f", {count / 1e6:.1f} million parameters"


def _parameters(spec: ModelSpec) -> dict[str, int]:
    """How many each part has, one transformer if there are two; empty where torch is not installed."""
    try:
        import torch

        from wanvideo.models.text_encoder import UMT5Encoder
        from wanvideo.models.transformer import WanTransformer
        from wanvideo.models.vae import WanVAE
    except ModuleNotFoundError:
        return {}

    def build(config: TransformerConfig | VAEConfig | TextEncoderConfig) -> "nn.Module":
        match config:
            case TransformerConfig():
                return WanTransformer(config)
            case VAEConfig():
                return WanVAE(config)
            case TextEncoderConfig():
                return UMT5Encoder(config)

    parts = {"transformer": spec.transformer, "vae": spec.vae, "text_encoder": spec.text_encoder}
    with torch.device("meta"):
        return {
            name: sum(parameter.numel() for parameter in build(config).parameters())
            for name, config in parts.items()
            if config is not None
        }
