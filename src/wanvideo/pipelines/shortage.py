"""What to say when memory is too little: how much is needed, how much there is, and what takes less."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from wanvideo.errors import Fact, NotEnoughMemory
from wanvideo.request import Phase, ResolvedRequest
from wanvideo.runtime.placement import MemoryPlan

_GIB = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedy:
    """What else to ask for, and what that takes, where it is known."""

    change: str  # in words
    plan: MemoryPlan | None

    def __str__(self) -> str:
        return self.change if self.plan is None else f"{self.change} ({gib(self.plan.peak_bytes)})"


def does_not_fit(plan: MemoryPlan, request: ResolvedRequest, remedies: Sequence[Remedy]) -> NotEnoughMemory:
    """Found by the plan, before anything is loaded."""
    facts: dict[str, Fact] = {
        "short_bytes": plan.short_bytes,
        "peak_bytes": plan.peak_bytes,
        "cap_bytes": plan.cap_bytes,
    }
    if plan.remedy is not None:
        return NotEnoughMemory(
            f"{request.model} does not fit here: {'; '.join(plan.notes)}. {plan.remedy[0].upper()}{plan.remedy[1:]}",
            suggestions=(plan.remedy,),
            facts=facts,
        )
    size = f"{request.width}x{request.height}, {request.frames} frames"
    command = f"wan plan {request.model} --size {request.width}x{request.height} --frames {request.frames}"
    fitting = [str(each) for each in remedies if each.plan is not None and each.plan.fits]
    instead = f"ask for {', or '.join(fitting)}" if fitting else "ask for a smaller size or fewer frames"
    return NotEnoughMemory(
        f"{size} of {request.model} does not fit here, even block by block: {'; '.join(plan.notes)}. "
        f"Instead, {instead}; `{command}` says more",
        suggestions=(*fitting, command),
        facts=facts,
    )


def ran_out(
    phase: Phase,
    request: ResolvedRequest,
    plan: MemoryPlan | None,
    device: torch.device,
    error: torch.OutOfMemoryError,
    remedies: Sequence[Remedy],
) -> NotEnoughMemory:
    """Found while it ran, when nothing was left to try."""
    planned = None if plan is None else _peak(plan, phase)
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else None
    less = [each for each in remedies if each.plan is None or planned is None or _less(each.plan, phase, planned)]
    facts: dict[str, Fact] = {
        "phase": phase,
        "width": request.width,
        "height": request.height,
        "frames": request.frames,
        "needed_bytes": planned,
        "free_bytes": free,
        "cap_bytes": None if plan is None else plan.cap_bytes,
    }
    numbers = [
        *([] if planned is None else [f"{gib(planned)} were planned for it"]),
        *([] if plan is None else [f"{gib(plan.cap_bytes)} may be used"]),
        *([] if free is None else [f"{gib(free)} are free now"]),
        str(error).partition(". GPU")[0],
    ]
    instead = f", or ask for {', or '.join(map(str, less))}" if less else ""
    return NotEnoughMemory(
        f"the memory of {device} ran out in the phase {phase}, and nothing was left to move or to cut: "
        f"{', '.join(numbers)}. Close what else uses the device{instead}",
        suggestions=tuple(map(str, less)),
        facts=facts,
    )


def _less(plan: MemoryPlan, phase: Phase, needed: int) -> bool:
    peak = _peak(plan, phase)
    return peak is not None and peak < needed


def _peak(plan: MemoryPlan, phase: Phase) -> int | None:
    return next((each.peak_bytes for each in plan.phases if each.phase is phase), None)


def gib(nbytes: int) -> str:
    return f"{nbytes / _GIB:.1f} GiB"
