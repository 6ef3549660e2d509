"""What a job is to make, as a value that is stored and sent. No torch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import PurePath
from typing import Any, TypeVar

from wanvideo.errors import InvalidRequest
from wanvideo.request import GenerationRequest, LoraExpert, LoraPolicy, LoraUse, Solver, Tier

EnumT = TypeVar("EnumT", bound=StrEnum)


class Fallback(StrEnum):
    """What may be done when the model that was asked for cannot make the video. It is always announced."""

    AUTO = "auto"  # another precision of the model, then another real one that is ready and takes the same inputs
    DEMO = "demo"  # also the demo model
    OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """One video.

    Pictures of the request are names in the folder of inputs, LoRAs are names of the library, and the seed is drawn:
    so a job means the same whenever and wherever it runs.
    """

    model: str  # its name in the catalog
    variant: str | None = None
    request: GenerationRequest
    tier: Tier = Tier.EXACT
    fallback: Fallback = Fallback.AUTO
    memory_limit: int | None = None  # bytes of GPU memory
    tile: int | None = None  # pixels, of the autoencoder
    device: str | None = None  # None: the worker's own
    embed: bool = True  # write into the file, and into its name, what it was made with
    webhook: str | None = None  # an address that is told about the end, as long as the operator allows it
    webhook_ends: tuple[str, ...] | None = None  # kinds of ends that it is told about; None: all

    def to_json(self) -> dict[str, Any]:
        """JSON values; what is unset is left out."""
        own = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "request"}
        return _compact(own) | {"request": _request_to_json(self.request)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "JobSpec":
        """What `to_json` gave. Raises InvalidRequest, which names the field that is wrong."""
        values = _known(values, {field.name for field in fields(cls)}, "a job")
        ends = _maybe(values, "webhook_ends", _list_of(_text))
        return cls(
            model=_needed(values, "model", _text),
            variant=_maybe(values, "variant", _text),
            request=_request_from_json(_needed(values, "request", _mapping)),
            tier=_maybe(values, "tier", _one_of(Tier)) or Tier.EXACT,
            fallback=_maybe(values, "fallback", _one_of(Fallback)) or Fallback.AUTO,
            memory_limit=_maybe(values, "memory_limit", _whole),
            tile=_maybe(values, "tile", _whole),
            device=_maybe(values, "device", _text),
            embed=_maybe(values, "embed", _yes_or_no) is not False,
            webhook=_maybe(values, "webhook", _text),
            webhook_ends=None if ends is None else tuple(ends),
        )


# --- the request -----------------------------------------------------------------------------------------------------


def _request_to_json(request: GenerationRequest) -> dict[str, Any]:
    values = {field.name: getattr(request, field.name) for field in fields(request)}
    for name in ("image", "end_image"):
        if values[name] is not None:
            values[name] = _stored_name(name, values[name])
    values["loras"] = [_lora_to_json(use) for use in request.loras] or None
    values["sigmas"] = None if request.sigmas is None else list(request.sigmas)
    return _compact(values)


def _lora_to_json(use: LoraUse) -> dict[str, Any]:
    values = {field.name: getattr(use, field.name) for field in fields(use)}
    return _compact(values | {"source": _stored_name("source", use.source)})


def _stored_name(field: str, value: object) -> str:
    if not isinstance(value, str) or PurePath(value).is_absolute() or ".." in PurePath(value).parts:
        raise InvalidRequest(f"{field} of a job is {value!r:.80}: give the name of something that is stored here")
    return value


def _request_from_json(values: Mapping[str, Any]) -> GenerationRequest:
    values = _known(values, {field.name for field in fields(GenerationRequest)}, "a request")
    sigmas = _maybe(values, "sigmas", _list_of(_number))
    return GenerationRequest(
        prompt=_needed(values, "prompt", _text),
        negative_prompt=_maybe(values, "negative_prompt", _text),
        image=_maybe(values, "image", _name),
        end_image=_maybe(values, "end_image", _name),
        width=_maybe(values, "width", _whole),
        height=_maybe(values, "height", _whole),
        frames=_maybe(values, "frames", _whole),
        seconds=_maybe(values, "seconds", _number),
        steps=_maybe(values, "steps", _whole),
        guidance=_maybe(values, "guidance", _number),
        guidance_low=_maybe(values, "guidance_low", _number),
        shift=_maybe(values, "shift", _number),
        sigmas=None if sigmas is None else tuple(sigmas),
        solver=_maybe(values, "solver", _one_of(Solver)),
        step_cache=_maybe(values, "step_cache", _number),
        seed=_maybe(values, "seed", _whole),
        loras=tuple(_maybe(values, "loras", _list_of(_lora_from_json)) or ()),
        lora_policy=_maybe(values, "lora_policy", _one_of(LoraPolicy)) or LoraPolicy.WARN,
    )


def _lora_from_json(name: str, value: object) -> LoraUse:
    values = _known(_mapping(name, value), {field.name for field in fields(LoraUse)}, "a LoRA")
    strength = _maybe(values, "strength", _number)
    return LoraUse(
        source=_needed(values, "source", _name),
        strength=1.0 if strength is None else strength,
        strength_low=_maybe(values, "strength_low", _number),
        expert=_maybe(values, "expert", _one_of(LoraExpert)),
    )


# --- JSON ------------------------------------------------------------------------------------------------------------

ValueT = TypeVar("ValueT")
# Gives the value of a field, whose name it gets for the error.
Reader = Callable[[str, object], ValueT]


def _compact(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _known(values: Mapping[str, Any], names: set[str], what: str) -> Mapping[str, Any]:
    if unknown := sorted(set(values) - names):
        raise InvalidRequest(f"{what} has no {unknown[0]!r:.80}: there is {', '.join(sorted(names))}")
    return values


def _needed(values: Mapping[str, Any], name: str, read: "Reader[ValueT]") -> ValueT:
    if values.get(name) is None:
        raise InvalidRequest(f"{name} is missing")
    return read(name, values[name])


def _maybe(values: Mapping[str, Any], name: str, read: "Reader[ValueT]") -> ValueT | None:
    return None if values.get(name) is None else read(name, values[name])


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise _wrong(name, value, "text")
    return value


def _name(name: str, value: object) -> str:
    return _stored_name(name, value)


def _whole(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 2**63:
        raise _wrong(name, value, "a whole number")
    return value


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _wrong(name, value, "a number")
    return float(value)


def _yes_or_no(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise _wrong(name, value, "true or false")
    return value


def _mapping(name: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _wrong(name, value, "an object")
    return value


def _one_of(kind: type[EnumT]) -> "Reader[EnumT]":
    def read(name: str, value: object) -> EnumT:
        try:
            return kind(str(value))
        except ValueError:
            raise _wrong(name, value, f"one of {', '.join(kind)}") from None

    return read


def _list_of(read: "Reader[ValueT]") -> "Reader[list[ValueT]]":
    def read_all(name: str, value: object) -> list[ValueT]:
        if not isinstance(value, (list, tuple)):
            raise _wrong(name, value, "a list")
        return [read(name, one) for one in value]

    return read_all


def _wrong(name: str, value: object, wanted: str) -> InvalidRequest:
    return InvalidRequest(f"{name} is {value!r:.80}: give {wanted}")
