"""The LoRAs of a request -> files that fit the model, each with its strength in each expert. No torch.

What cannot be used is left out and said, or ends the request, as its `lora_policy` has it.
"""

from collections.abc import Iterator, Sequence
from numbers import Real
from pathlib import Path
from typing import Final, TypeVar

import platformdirs

from wanvideo.errors import InvalidRequest, LoraError, LoraUnsupported, LoraWrongBase, TooManyLoras
from wanvideo.request import Adjustment, LoraExpert, LoraPolicy, LoraUse, ResolvedLora
from wanvideo.weights.catalog import ModelSpec
from wanvideo.weights.entry import ModelEntry
from wanvideo.weights.lora.file import LoraFit, bytes_in_16_bits, fit, read_lora
from wanvideo.weights.lora.library import LoraLibrary
from wanvideo.weights.lora.names import expert_of
from wanvideo.weights.places import DEMO_FOLDER
from wanvideo.weights.variants import Part

MAX_LORAS: Final = 16
MAX_STRENGTH: Final = 10.0
ChoiceT = TypeVar("ChoiceT", LoraExpert, LoraPolicy)

SHIPPED: Final = DEMO_FOLDER / "loras"

_EXPERTS: Final = {LoraExpert.HIGH: Part.TRANSFORMER, LoraExpert.LOW: Part.TRANSFORMER_2}


def usual_library(roots: Sequence[Path] = ()) -> LoraLibrary:
    """The user's own LoRAs, those in `roots`, and those that ship with the package."""
    return LoraLibrary(folder=platformdirs.user_data_path("wanvideo") / "loras", roots=(*roots, SHIPPED))


def resolve_loras(
    changes: list[Adjustment],
    spec: ModelEntry,
    uses: Sequence[LoraUse],
    policy: LoraPolicy,
    library: LoraLibrary,
) -> tuple[ResolvedLora, ...]:
    """What is to be applied; what is worth saying about it is added to `changes`.

    Raises InvalidRequest for a strength out of range or an unknown word, TooManyLoras, and any LoraError with the
    policy "fail".
    """
    policy = _choice("lora_policy", policy, LoraPolicy)
    if len(uses) > MAX_LORAS:
        raise TooManyLoras(f"{len(uses)} LoRAs are asked for: at most {MAX_LORAS} can be used at once")
    found: list[ResolvedLora] = []
    for use in uses:
        high, low = _strengths(use)
        try:
            for lora, remark in _resolve(spec, use, high, low, library):
                found.append(lora)
                if remark is not None:
                    changes.append(remark)
        except LoraError as error:
            if policy is LoraPolicy.FAIL:
                raise
            changes.append(left_out(str(use.source), error))
    return tuple(found)


def left_out(name: str, error: LoraError) -> Adjustment:
    """The warning that the video is made without a LoRA."""
    return Adjustment(field="loras", asked=name, used="left out", reason=error.message)


def _choice(name: str, value: str, kind: type[ChoiceT]) -> ChoiceT:
    """One of a few words, which may come as plain text."""
    try:
        return kind(value)
    except ValueError:
        raise InvalidRequest(f"{name} is {value!r:.100}: there are {', '.join(kind)}", facts={"field": name}) from None


def _strengths(use: LoraUse) -> tuple[float, float]:
    values = (use.strength, use.strength if use.strength_low is None else use.strength_low)
    for value in values:
        if not isinstance(value, Real) or isinstance(value, bool) or not abs(value) <= MAX_STRENGTH:
            raise InvalidRequest(
                f"strength {value!r:.100} of LoRA {use.source} cannot be used: legal values are "
                f"-{MAX_STRENGTH:g} to {MAX_STRENGTH:g}; 1 is usual, 0 is the same as without it",
                facts={"field": "loras"},
            )
    return float(values[0]), float(values[1])


def _resolve(
    spec: ModelEntry, use: LoraUse, high: float, low: float, library: LoraLibrary
) -> Iterator[tuple[ResolvedLora, Adjustment | None]]:
    """One of these for a file, two for a pair, with what should be said about each."""
    if not isinstance(spec, ModelSpec):
        raise LoraUnsupported(f"{spec.id} takes no LoRAs: leave {use.source} out")
    entry = library.find(use.source)
    fits = [fit(read_lora(path), spec.transformer) for path in entry.files]
    for fitted in fits:
        part, why = _expert(spec, use, fitted, pair=len(fits) == 2)
        path = fitted.file.path
        if part is Part.TRANSFORMER_2 and spec.experts == 1:
            raise LoraWrongBase(
                f"{path.name} is for the low-noise expert ({why}), and {spec.id} has one transformer: "
                "use a LoRA for it, or say that it is for both",
                facts={"path": str(path)},
            )
        lora = ResolvedLora(
            name=entry.name if len(fits) == 1 else f"{entry.name} ({_word(part)})",
            path=path,
            digest=fitted.file.digest,
            nbytes=max(bytes_in_16_bits(fitted.of(part)) for part in (Part.TRANSFORMER, Part.TRANSFORMER_2)),
            strength=0.0 if part is Part.TRANSFORMER_2 else high,
            strength_low=0.0 if part is Part.TRANSFORMER or spec.experts == 1 else low,
        )
        yield lora, _remark(spec, use, fitted, part, why)


def _expert(spec: ModelSpec, use: LoraUse, fitted: LoraFit, *, pair: bool) -> tuple[Part | None, str]:
    """Which expert a file is for, None for both, and how that is known."""
    if use.expert is not None and not pair:
        return _EXPERTS.get(_choice("expert", use.expert, LoraExpert)), "as asked"
    if fitted.file.parts:
        named = fitted.file.parts
        return (next(iter(named)) if len(named) == 1 else None), "as its tensors are named"
    part = expert_of(fitted.file.path)
    if spec.experts == 1 and part is Part.TRANSFORMER:
        return None, "there is one transformer"
    return part, "as its name says"


def _remark(spec: ModelSpec, use: LoraUse, fitted: LoraFit, part: Part | None, why: str) -> Adjustment | None:
    """What was decided about a file without being asked, or what of it has no place."""
    said = [fitted.remark] if fitted.remark else []
    if spec.experts == 2 and part is not None and why != "as asked":
        said.insert(0, f"{why}; high=... or low=... or both=... says otherwise")
    if not said:
        return None
    where = f"the {_word(part)}-noise expert" if part is not None and spec.experts == 2 else "the whole model"
    name = fitted.file.path.name
    return Adjustment(field="loras", asked=str(use.source), used=f"{name} in {where}", reason="; ".join(said))


def _word(part: Part | None) -> str:
    return {None: "both", Part.TRANSFORMER: "high", Part.TRANSFORMER_2: "low"}[part]
