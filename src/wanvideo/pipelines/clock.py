"""How long the phases of a run take."""

from dataclasses import dataclass, field
from time import monotonic

from wanvideo.request import Phase, Preview, Progress


@dataclass(slots=True)
class Clock:
    """Seconds spent in each phase; one that is come back to goes on counting."""

    phase: Phase | None = None
    _since: float = 0.0
    _spent: dict[Phase, float] = field(default_factory=dict)

    def progress(
        self,
        phase: Phase,
        step: int,
        steps: int,
        expert: str | None = None,
        preview: Preview | None = None,
        reused: int = 0,
    ) -> Progress:
        """That `step` of `steps` are done; the first call for a phase starts its time."""
        now = monotonic()
        if phase is not self.phase:
            self.phase, self._since = phase, now - self._spent.get(phase, 0.0)
        seconds = self._spent[phase] = now - self._since
        return Progress(
            phase=phase,
            step=step,
            steps=steps,
            seconds=seconds,
            expert=expert,
            preview=preview,
            reused=reused,
        )
