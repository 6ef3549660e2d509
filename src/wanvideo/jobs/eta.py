"""How long a job will still take, from what its own steps took and from what was expected of the rest."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final

PHASES: Final = ("load", "encode", "denoise", "decode", "write")
_TRUSTED: Final = 3.0  # steps after which what was measured weighs as much as what was expected


@dataclass(slots=True)
class Eta:
    """Follows one attempt. Times are of one clock; `expected` holds seconds of whole phases, as planned."""

    now: Callable[[], float]
    expected: dict[str, float] = field(default_factory=dict)
    phase: str | None = None
    step: int = 0
    steps: int = 0
    _began: float = 0.0  # the phase
    _first: int = 0  # its step at that time: a resumed one does not begin with 0
    _last: float = 0.0  # when the last step ended
    _took: list[float] = field(default_factory=list)
    _percent: int = 0

    def plan(self, seconds: Mapping[str, float]) -> None:
        self.expected.update(seconds)

    def update(self, phase: str, step: int, steps: int) -> None:
        """A phase has come so far."""
        now = self.now()
        if phase != self.phase:
            self.phase, self._began, self._first, self._took = phase, now, step, []
        elif step > self.step:
            self._took.append((now - self._last) / (step - self.step))
        self.step, self.steps, self._last = step, steps, now

    @property
    def seconds_per_step(self) -> float | None:
        """Measured, of the phase at work. The first step also does what is done once, and counts while it is alone."""
        if not self._took:
            return None
        return median(self._took[1:] or self._took)

    def remaining(self) -> float | None:
        """Seconds until the video is there; None: nothing is known yet."""
        if self.phase is None or (not self.expected and self.seconds_per_step is None):
            return None
        after = PHASES[PHASES.index(self.phase) + 1 :] if self.phase in PHASES else PHASES
        return self._of_this_phase() + sum(self.expected.get(phase, 0.0) for phase in after)

    def percent(self) -> int:
        """Of the whole job by time; never less than before, and never 100 before the end.

        Where nothing was expected beforehand, the steps of denoising are all there is to go by.
        """
        left = self.remaining()
        if left is not None and self.phase in PHASES:
            done = max(0.0, self.now() - self._began)
            if self.expected:
                done += sum(self.expected.get(phase, 0.0) for phase in PHASES[: PHASES.index(self.phase)])
                share = done / (done + left) if done + left > 0 else 0.0
            else:
                share = self.step / self.steps if self.phase == "denoise" and self.steps else 0.0
            self._percent = max(self._percent, min(99, int(100 * share)))
        return self._percent

    def _of_this_phase(self) -> float:
        planned = self.expected.get(self.phase or "", 0.0)
        own = self.seconds_per_step
        if self.steps == 0:
            return max(0.0, planned - (self.now() - self._began))
        share = planned / self.steps
        if own is None:
            per_step = share
        elif planned == 0.0:
            per_step = own
        else:
            weight = len(self._took) / (len(self._took) + _TRUSTED)
            per_step = weight * own + (1 - weight) * share
        return max(0.0, (self.steps - self.step) * per_step - max(0.0, self.now() - self._last))


def scaled(numbers: Mapping[str, Any], width: int, height: int, frames: int, steps: int) -> dict[str, float]:
    """What another video took, phase by phase, carried over to this size and length; empty where that is not known.

    Denoising grows with steps and tokens, the autoencoder with pixels; attention makes large videos dearer than that.
    """
    try:
        then = float(numbers["width"] * numbers["height"] * numbers["frames"])
        phases = {str(phase): float(seconds) for phase, seconds in numbers["phases"].items()}
        by_pixels = width * height * frames / then
        by_steps = by_pixels * steps / numbers["steps"]
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return {}
    factors = {"denoise": by_steps, "encode": 1.0, "load": 1.0}
    return {phase: seconds * factors.get(phase, by_pixels) for phase, seconds in phases.items()}
