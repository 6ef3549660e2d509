"""Make video with Wan 2.2 on your own GPU.

    import wanvideo

    with wanvideo.load("t2v-A14B-demo") as pipeline:
        video = pipeline(wanvideo.GenerationRequest(prompt="a small red circle moves left on a navy background"))
    video.save("circle.mp4")

What needs torch is imported when it is first used, so that `import wanvideo` is quick and works without it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

from wanvideo.errors import (
    CacheNotWritable,
    Cancelled,
    DiskFull,
    DownloadDiskFull,
    DownloadError,
    DownloadForbidden,
    DownloadHashMismatch,
    DownloadNotFound,
    DownloadOffline,
    DownloadRateLimited,
    DownloadRefused,
    DownloadStalled,
    DownloadUnreachable,
    EncodeFailed,
    ImageNotTaken,
    ImageRequired,
    IncompatibleState,
    InvalidFrames,
    InvalidImage,
    InvalidMedia,
    InvalidPrompt,
    InvalidRequest,
    InvalidSize,
    LoraCorrupt,
    LoraError,
    LoraNotFound,
    LoraUnsafeFormat,
    LoraUnsupported,
    LoraWrongBase,
    ModelCorrupt,
    ModelIncomplete,
    ModelMismatch,
    ModelMissing,
    NonFiniteLatents,
    NotEnoughMemory,
    OutputNotWritable,
    TooManyLoras,
    UnknownModel,
    WanVideoError,
)
from wanvideo.request import (
    Adjustment,
    GenerationRequest,
    LoraExpert,
    LoraPolicy,
    LoraUse,
    Phase,
    Preview,
    Progress,
    ResolvedLora,
    ResolvedRequest,
    Solver,
    Task,
    Tier,
)

if TYPE_CHECKING:
    from wanvideo.families.load import load
    from wanvideo.families.plan import Forecast, plan
    from wanvideo.media.video import Video, read_video
    from wanvideo.pipelines.base import VideoPipeline
    from wanvideo.pipelines.events import Adjusted, Event, Frames, Planned, Resolved, Saved
    from wanvideo.pipelines.pipeline import Pipeline
    from wanvideo.pipelines.state import Checkpoint
    from wanvideo.pipelines.write import generate_to_file
    from wanvideo.runtime.placement import MemoryPlan

__all__ = [
    "Adjusted",
    "Adjustment",
    "CacheNotWritable",
    "Cancelled",
    "Checkpoint",
    "DiskFull",
    "DownloadDiskFull",
    "DownloadError",
    "DownloadForbidden",
    "DownloadHashMismatch",
    "DownloadNotFound",
    "DownloadOffline",
    "DownloadRateLimited",
    "DownloadRefused",
    "DownloadStalled",
    "DownloadUnreachable",
    "EncodeFailed",
    "Event",
    "Forecast",
    "Frames",
    "GenerationRequest",
    "ImageNotTaken",
    "ImageRequired",
    "IncompatibleState",
    "InvalidFrames",
    "InvalidImage",
    "InvalidMedia",
    "InvalidPrompt",
    "InvalidRequest",
    "InvalidSize",
    "LoraCorrupt",
    "LoraError",
    "LoraExpert",
    "LoraNotFound",
    "LoraPolicy",
    "LoraUnsafeFormat",
    "LoraUnsupported",
    "LoraUse",
    "LoraWrongBase",
    "MemoryPlan",
    "ModelCorrupt",
    "ModelIncomplete",
    "ModelMismatch",
    "ModelMissing",
    "NonFiniteLatents",
    "NotEnoughMemory",
    "OutputNotWritable",
    "Phase",
    "Pipeline",
    "Planned",
    "Preview",
    "Progress",
    "Resolved",
    "ResolvedLora",
    "ResolvedRequest",
    "Saved",
    "Solver",
    "Task",
    "Tier",
    "TooManyLoras",
    "UnknownModel",
    "Video",
    "VideoPipeline",
    "WanVideoError",
    "generate_to_file",
    "load",
    "plan",
    "read_video",
]

_LAZY: Final = {
    "Adjusted": "wanvideo.pipelines.events",
    "Checkpoint": "wanvideo.pipelines.state",
    "Event": "wanvideo.pipelines.events",
    "Forecast": "wanvideo.families.plan",
    "Frames": "wanvideo.pipelines.events",
    "MemoryPlan": "wanvideo.runtime.placement",
    "Pipeline": "wanvideo.pipelines.pipeline",
    "Planned": "wanvideo.pipelines.events",
    "Resolved": "wanvideo.pipelines.events",
    "Saved": "wanvideo.pipelines.events",
    "Video": "wanvideo.media.video",
    "VideoPipeline": "wanvideo.pipelines.base",
    "generate_to_file": "wanvideo.pipelines.write",
    "load": "wanvideo.families.load",
    "plan": "wanvideo.families.plan",
    "read_video": "wanvideo.media.video",
}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)
