"""What a job is to make, as a value that is stored and sent. No torch."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import PurePath
from typing import Any, Final, TypeVar

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
        return cls(**_read(values, _JOB, "a job", needed=("model", "request")))


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


# --- JSON ------------------------------------------------------------------------------------------------------------

ValueT = TypeVar("ValueT")
# Gives the value of a field, whose name it gets for the error.
Reader = Callable[[str, object], ValueT]


def _compact(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _read(
    values: Mapping[str, Any], readers: "Mapping[str, Reader[Any]]", what: str, *, needed: Collection[str]
) -> dict[str, Any]:
    """The fields that are there; null is as if one were not."""
    if unknown := sorted(values.keys() - readers.keys()):
        raise InvalidRequest(f"{what} has no {unknown[0]!r:.80}: there is {', '.join(sorted(readers))}")
    for name in needed:
        if values.get(name) is None:
            raise InvalidRequest(f"{name} is missing")
    return {name: readers[name](name, value) for name, value in values.items() if value is not None}


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


def _list_of(read: "Reader[ValueT]") -> "Reader[tuple[ValueT, ...]]":
    def read_all(name: str, value: object) -> tuple[ValueT, ...]:
        if not isinstance(value, (list, tuple)):
            raise _wrong(name, value, "a list")
        return tuple(read(name, one) for one in value)

    return read_all


def _request(name: str, value: object) -> GenerationRequest:
    return GenerationRequest(**_read(_mapping(name, value), _REQUEST, "a request", needed=("prompt",)))


def _lora(name: str, value: object) -> LoraUse:
    return LoraUse(**_read(_mapping(name, value), _LORA, "a LoRA", needed=("source",)))


def _wrong(name: str, value: object, wanted: str) -> InvalidRequest:
    return InvalidRequest(f"{name} is {value!r:.80}: give {wanted}")


# By field. Tables, since a page of jobs reads hundreds: only what is there takes time.
_LORA: Final[Mapping[str, Reader[Any]]] = {
    "source": _name, "strength": _number, "strength_low": _number, "expert": _one_of(LoraExpert),
}  # fmt: skip
_REQUEST: Final[Mapping[str, Reader[Any]]] = {
    "prompt": _text, "negative_prompt": _text, "image": _name, "end_image": _name, "width": _whole, "height": _whole,
    "frames": _whole, "seconds": _number, "steps": _whole, "guidance": _number, "guidance_low": _number,
    "shift": _number, "sigmas": _list_of(_number), "solver": _one_of(Solver), "step_cache": _number, "seed": _whole,
    "loras": _list_of(_lora), "lora_policy": _one_of(LoraPolicy),
}  # fmt: skip
_JOB: Final[Mapping[str, Reader[Any]]] = {
    "model": _text, "variant": _text, "request": _request, "tier": _one_of(Tier), "fallback": _one_of(Fallback),
    "memory_limit": _whole, "tile": _whole, "device": _text, "embed": _yes_or_no, "webhook": _text,
    "webhook_ends": _list_of(_text),
}  # fmt: skip
