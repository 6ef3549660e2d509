"""`wan info`: the settings inside a video or picture, or the facts of a model."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from wanvideo.cli.environment import places
from wanvideo.cli.models import Presence, facts, inputs, look_for, model_names, size
from wanvideo.cli.output import Output
from wanvideo.cli.values import existing
from wanvideo.errors import UnknownModel
from wanvideo.models.config import TextEncoderConfig, TransformerConfig, VAEConfig
from wanvideo.pipelines.choose import named
from wanvideo.weights.catalog import ModelSpec, resolve
from wanvideo.weights.folder import spec_of

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
    output, path = Output(json=json), existing(name)
    try:
        presence = look_for(resolve(name), places())
    except UnknownModel as error:
        if path is not None and path.is_dir():
            choice = named(path, places())
            presence = Presence(spec=choice.spec, folder=choice.folder)
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
    output.result(_table(shown))
    if media.settings is not None:
        output.result(f"\nmade with\n{_table(_flat(media.settings))}")
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
    spec, folder = presence.spec, presence.folder
    if folder is not None:
        spec = spec_of(folder)
    parameters = _parameters(spec)
    output.event(
        "model",
        **facts(presence),
        experts=spec.experts,
        boundary=spec.boundary,
        parameters=parameters,
        defaults=asdict(spec.defaults),
        limits=asdict(spec.limits),
        architecture={
            "transformer": asdict(spec.transformer),
            "vae": asdict(spec.vae) if spec.vae else None,
            "text_encoder": asdict(spec.text_encoder) if spec.text_encoder else None,
        },
    )
    output.result(_table(_about(presence, spec) | _architecture(spec, parameters) | _usage(spec)))


def _about(presence: Presence, spec: ModelSpec) -> dict[str, object]:
    folder = presence.folder
    return {
        "model": f"{spec.id}{' (demo)' if spec.demo else ''}: {spec.title}",
        "made from": inputs(spec),
        "good at": spec.good_at,
        "needs": spec.needs,
        "licence": spec.licence,
        "repository": spec.repo_id,
        "on disk": f"{size(folder.nbytes)}, {folder.precision}, in {folder.path}" if folder else None,
        presence.state: presence.problem.message if presence.problem else None,
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


def _usage(spec: ModelSpec) -> dict[str, object]:
    d, limits = spec.defaults, spec.limits
    guidance = f"{d.guidance_high:g}"
    if spec.experts == 2:
        guidance += f" for high noise, {d.guidance_low:g} for low"
    return {
        "defaults": f"{d.width}x{d.height}, {d.frames} frames at {d.fps} fps, {d.steps} steps of {d.solver}, "
        f"shift {d.shift:g}, guidance {guidance}",
        "negative": d.negative_prompt or None,
        "limits": f"sides from {limits.min_side} pixels in multiples of {limits.size_multiple}, area up to "
        f"{limits.max_area} pixels, up to {limits.max_frames} frames",
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


def _table(rows: Mapping[str, object]) -> str:
    """Names and values in two columns; what is None is left out."""
    shown = {name: value for name, value in rows.items() if value is not None}
    width = max(map(len, shown), default=0)
    return "\n".join(f"{name:{width}}  {value}" for name, value in shown.items())
