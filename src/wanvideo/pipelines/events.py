"""What a pipeline tells while it works. No torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from wanvideo.request import Adjustment, Progress, ResolvedRequest
from wanvideo.runtime.placement import MemoryPlan

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from wanvideo.pipelines.state import Checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """Always first: what will really be done, before anything is loaded."""

    request: ResolvedRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """On a GPU, after `Resolved`: what will lie where, and what it will take. Again if memory ran out on the way."""

    plan: MemoryPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjusted:
    """On the way: something has to be done in another way than was said, and the video goes on."""

    adjustment: Adjustment


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frames:
    """Finished frames, uint8 RGB [n, H, W, 3]; `index` is the number of the first one."""

    index: int
    frames: "npt.NDArray[np.uint8]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """Always last of a run that writes a file: it is there, whole, with these settings inside."""

    path: Path
    settings: dict[str, object]


Event: TypeAlias = "Resolved | Planned | Adjusted | Progress | Checkpoint | Frames | Saved"
