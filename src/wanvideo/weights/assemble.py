"""Networks that were found here and there -> whole models. No torch."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from wanvideo.models.config import TextEncoderConfig, TransformerConfig, VAEConfig
from wanvideo.weights.catalog import MODELS, ModelSpec
from wanvideo.weights.network import NetworkPart
from wanvideo.weights.places import Role
from wanvideo.weights.survey import Survey, Transformer, embeds_tokenizer

# The less is lost, the earlier. Files of 16 and 32 bits give nearly the same picture; the smaller is read faster.
_QUALITY: Final = (
    ("fp64", "fp32", "bf16", "fp16"),
    ("q8_0",),
    ("int8", "fp8"),
    ("q6_k",),
    ("q5_k_m", "q5_1", "q5_k_s", "q5_k", "q5_0"),
    ("q4_k_m", "q4_1", "q4_k_s", "q4_k", "q4_0"),
    ("q3_k_l", "q3_k_m", "q3_k_s", "q3_k"),
    ("q2_k",),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembly:
    """The parts of one model that were found; None: none was."""

    high: NetworkPart[TransformerConfig] | None = None  # or the only transformer
    low: NetworkPart[TransformerConfig] | None = None
    vae: NetworkPart[VAEConfig] | None = None
    text_encoder: NetworkPart[TextEncoderConfig] | None = None
    tokenizer: Path | None = None

    def missing(self, spec: ModelSpec) -> tuple[str, ...]:
        """What is still needed, in words."""
        experts = {"the high-noise expert": self.high, "the low-noise expert": self.low}
        needed = experts if spec.experts == 2 else {"the transformer": self.high}
        rest = {"the autoencoder": self.vae, "the text encoder": self.text_encoder, "a tokenizer": self.tokenizer}
        return tuple(name for name, part in {**needed, **rest}.items() if part is None)


def assemble(spec: ModelSpec, survey: Survey, variant: str | None = None) -> Iterator[Assembly]:
    """Sets of parts, the best first; each has at least one transformer, and not all need be whole.

    variant: only transformers of this precision ("fp8", "q4_k_m", "q4"), or with this word in their names.
    """
    text_encoder = _best(p for p in survey.text_encoders if p.config == spec.text_encoder)
    wanted = [p for p in survey.text_encoders if p.config == spec.text_encoder and p.precision == variant]
    text_encoder = wanted[0] if wanted else text_encoder
    vae = _widest(p for p in survey.vaes if p.config == spec.vae)
    tokenizer = _tokenizer(survey, text_encoder)
    for high, low in _experts(spec, survey, variant):
        yield Assembly(high=high, low=low, vae=vae, text_encoder=text_encoder, tokenizer=tokenizer)


def undecided(spec: ModelSpec, survey: Survey) -> list[Path]:
    """Transformers that could belong to this model, whose names do not say whether they do."""
    return [t.part.path for t in survey.transformers if _fits(t, spec) and t.role is None and not _is_alone(spec)]


def _experts(
    spec: ModelSpec, survey: Survey, variant: str | None
) -> Iterator[tuple[NetworkPart[TransformerConfig] | None, NetworkPart[TransformerConfig] | None]]:
    fitting = [t for t in survey.transformers if _fits(t, spec) and _is_variant(t, variant)]
    fitting.sort(key=lambda t: quality(t.part))
    if spec.experts == 1:
        yield from ((t.part, None) for t in fitting if t.role is Role.ONLY or (t.role is None and _is_alone(spec)))
        return
    highs = [t for t in fitting if t.role is Role.HIGH]
    lows = [t for t in fitting if t.role is Role.LOW]
    for high in highs:
        low = min(lows, key=lambda low: _distance(high, low), default=None)
        yield high.part, low.part if low else None
    if not highs:
        yield from ((None, low.part) for low in lows[:1])


def _fits(transformer: Transformer, spec: ModelSpec) -> bool:
    return transformer.part.config == spec.transformer and transformer.label.other is None


def _is_alone(spec: ModelSpec) -> bool:
    """Whether no model with two experts has this architecture, so that names need not tell."""
    return all(other.experts == 1 for other in (spec, *MODELS) if other.transformer == spec.transformer)


def _is_variant(transformer: Transformer, variant: str | None) -> bool:
    """Models for few steps are only taken when they are asked for: their settings are others."""
    if variant is None:
        return not transformer.label.distilled
    precision, word = transformer.part.precision, variant.lower()
    is_precision = precision == word or precision.startswith(f"{word}_")
    return word in transformer.label.stem or (is_precision and not transformer.label.distilled)


def _distance(high: Transformer, low: Transformer) -> tuple[bool, bool, bool, tuple[int, int]]:
    """How badly two experts go together; least for those of one release, in one folder."""
    return (
        high.label.stem != low.label.stem,
        high.part.precision != low.part.precision,
        high.part.path.parent.parent != low.part.path.parent.parent,
        quality(low.part),
    )


def quality(part: NetworkPart[Any]) -> tuple[int, int]:
    """The less, the better: a rank by what is lost, and bytes."""
    rank = next((i for i, names in enumerate(_QUALITY) if part.precision in names), len(_QUALITY))
    return rank, part.nbytes


def _best(parts: Iterable[NetworkPart[TextEncoderConfig]]) -> NetworkPart[TextEncoderConfig] | None:
    return min(parts, key=quality, default=None)


def _widest(parts: Iterable[NetworkPart[VAEConfig]]) -> NetworkPart[VAEConfig] | None:
    """It computes in float32, and is small."""
    return max(parts, key=lambda part: part.nbytes, default=None)


def _tokenizer(survey: Survey, text_encoder: NetworkPart[TextEncoderConfig] | None) -> Path | None:
    """A tokenizer.json if there is one, else what the text encoder holds, else any other."""
    folders = [path for path in survey.tokenizers if path.is_dir()]
    own = [text_encoder.path] if text_encoder and embeds_tokenizer(text_encoder.files) else []
    return next(iter([*folders, *own, *survey.tokenizers]), None)
