"""Which rank hangs: told from how far each says that it has come, and when. No torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

PATIENCE: Final = 5.0  # seconds that a rank may be behind others without going on, if all went on faster lately
PACE: Final = 4.0  # ... else so many times as long as any of them lately took
FIRST_PATIENCE: Final = 30.0  # ... which for the first steps is taken to be so many seconds
STOPPED: Final = 2.0  # seconds that the system may say that a process is stopped
STUCK: Final = 60.0  # seconds that a GPU may not come to what it was given, though no other is further
SILENCE: Final = 20.0  # seconds without a heartbeat, after which a rank is taken for stopped
STARTING: Final = 120.0  # seconds until the first one: Python and its libraries have to be read


@dataclass(slots=True)
class Watched:
    """What was heard of one rank. Times are seconds of one clock."""

    moved: float  # when it last went on
    heard: float  # when it last said anything, or will have to at the latest
    turns: int = 0  # how far it has come
    pace: float = FIRST_PATIENCE / PACE  # seconds that it lately took to go on; half as many with every time
    waits: bool = False  # whether its GPU was given what it has not come to
    stopped: float | None = None  # since when the system says so

    @classmethod
    def starting(cls, now: float) -> "Watched":
        return cls(moved=now, heard=now + STARTING)

    def beat(self, now: float, turns: int, *, waits: bool) -> None:
        """It says that it lives, and how far it has come."""
        self.waits = waits
        if turns != self.turns:
            self.pace = max(now - self.moved, self.pace / 2)
            self.turns, self.moved = turns, now

    def listen_anew(self, now: float) -> None:
        """What was not listened to is no silence."""
        self.moved, self.heard, self.stopped = now, max(self.heard, now), None

    def begin_anew(self) -> None:
        """What comes next may take longer."""
        self.pace = FIRST_PATIENCE / PACE


def hanging(ranks: Sequence[Watched], now: float, *, patience: float, silence: float) -> list[bool]:
    """Which of them hang. patience and silence: seconds, see `PATIENCE` and `SILENCE`."""
    most, usual = max(rank.turns for rank in ranks), PACE * max(rank.pace for rank in ranks)
    return [
        (rank.turns < most and now - rank.moved > max(patience, usual))
        or (rank.waits and now - rank.moved > max(STUCK, usual))
        or (rank.stopped is not None and now - rank.stopped > STOPPED)
        or now - rank.heard > silence
        for rank in ranks
    ]
