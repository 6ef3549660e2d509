"""Requests and events as messages between a pipeline and the ranks that do its work."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from PIL.Image import Image, frombytes
from pydantic import TypeAdapter

from wanvideo.media.image import load_image
from wanvideo.parallel.wire import Blob, Message
from wanvideo.pipelines.events import Adjusted, Event, Frames, Planned, Resolved
from wanvideo.pipelines.state import Checkpoint
from wanvideo.request import Adjustment, GenerationRequest, ImageSource, Preview, Progress, ResolvedRequest
from wanvideo.runtime.placement import MemoryPlan

ValueT = TypeVar("ValueT")

_PICTURES: Final = ("image", "end_image")  # of a request


def to_json(kind: type[ValueT], value: ValueT) -> Any:
    """JSON values of a frozen dataclass, for `from_json`."""
    return _adapter(kind).dump_python(value, mode="json", fallback=dict, warnings=False)


def from_json(kind: type[ValueT], values: Any) -> ValueT:
    return _adapter(kind).validate_python(values)


def _adapter(kind: type[ValueT]) -> "TypeAdapter[ValueT]":
    adapter = TypeAdapter(kind)
    adapter.rebuild(_types_namespace={"Image": Any})  # which is imported for checking types alone
    return adapter


# --- a request -------------------------------------------------------------------------------------------------------


def request_message(request: GenerationRequest, resume: Checkpoint | None, previews: bool) -> Message:
    """An order to make a video. Pictures go along as pixels. Raises InvalidImage."""
    pictures = {name: _pixels(source) for name in _PICTURES if (source := getattr(request, name)) is not None}
    # A path that is no text would become one, and might be taken for a name.
    loras = tuple(
        use if isinstance(use.source, str) else replace(use, source=str(Path(use.source).absolute()))
        for use in request.loras
    )
    values = {
        "request": to_json(GenerationRequest, replace(request, image=None, end_image=None, loras=loras)),
        "pictures": {name: list(image.size) for name, image in pictures.items()},
        "previews": previews,
        "resumes": resume is not None,
    }
    blobs: list[Blob] = [image.tobytes() for image in pictures.values()]
    return Message("run", values, (*blobs, *([] if resume is None else [resume.to_bytes()])))


def read_request(message: Message) -> tuple[GenerationRequest, Checkpoint | None, bool]:
    """The request, where to go on from, and whether previews are wanted."""
    values, blobs = message.values, [bytes(blob) for blob in message.blobs]
    sizes = values["pictures"].items()
    pictures: dict[str, Any] = {n: frombytes("RGB", tuple(s), b) for (n, s), b in zip(sizes, blobs, strict=False)}
    request = replace(from_json(GenerationRequest, values["request"]), **pictures)
    return request, Checkpoint.from_bytes(blobs[-1]) if values["resumes"] else None, values["previews"]


def _pixels(source: ImageSource) -> Image:
    return load_image(source)


# --- events ----------------------------------------------------------------------------------------------------------


def event_message(event: Event) -> Message:
    """Of what a pipeline yields, which is anything but `Saved`."""
    match event:
        case Resolved(request=request):
            return Message("resolved", to_json(ResolvedRequest, replace(request, image=None, end_image=None)))
        case Planned(plan=plan):
            return Message("planned", to_json(MemoryPlan, plan))
        case Adjusted(adjustment=adjustment):
            return Message("adjusted", to_json(Adjustment, adjustment))
        case Frames(index=index, frames=frames):
            return Message("frames", {"index": index, "shape": list(frames.shape)}, (frames.data.cast("B"),))
        case Checkpoint():
            return Message("checkpoint", {}, (event.to_bytes(),))
        case Progress(preview=preview):
            values = {"progress": to_json(Progress, replace(event, preview=None)), "preview": None}
            if preview is None:
                return Message("progress", values)
            size = {"width": preview.width, "height": preview.height, "frames": preview.frames}
            return Message("progress", values | {"preview": size}, (preview.rgb,))
    raise TypeError(f"{type(event).__name__} is told by nobody but who writes files")


def read_event(message: Message, request: GenerationRequest) -> Event:
    """request: that was asked for, whose pictures did not come back."""
    values, blobs = message.values, message.blobs
    match message.kind:
        case "resolved":
            resolved = from_json(ResolvedRequest, values)
            return Resolved(request=replace(resolved, image=request.image, end_image=request.end_image))
        case "planned":
            return Planned(plan=from_json(MemoryPlan, values))
        case "adjusted":
            return Adjusted(adjustment=from_json(Adjustment, values))
        case "frames":
            return Frames(index=values["index"], frames=np.frombuffer(blobs[0], np.uint8).reshape(values["shape"]))
        case "checkpoint":
            return Checkpoint.from_bytes(bytes(blobs[0]))
        case "progress":
            preview = None if values["preview"] is None else Preview(**values["preview"], rgb=bytes(blobs[0]))
            return replace(from_json(Progress, values["progress"]), preview=preview)
    raise ValueError(f"{message.kind} is no event")
