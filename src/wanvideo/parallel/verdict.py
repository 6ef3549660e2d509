"""Why a group of ranks ended: told from what each of them said, and how it ended. No torch."""

import signal
from collections.abc import Sequence
from dataclasses import dataclass

from wanvideo import errors
from wanvideo.errors import RankFailed, WanVideoError
from wanvideo.parallel.wire import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """Of one rank."""

    rank: int
    device: str
    last: Message | None  # that it failed, or that it lost the others
    exitcode: int | None  # None: it still runs
    hangs: bool = False  # it fell behind the others, or fell silent

    @property
    def failed(self) -> bool:
        """Of something of its own."""
        return self.last is not None and self.last.kind == "failed"

    @property
    def died(self) -> bool:
        """Without a word. NCCL's watchdog aborts a process that waited for another one too long."""
        return self.last is None and self.exitcode not in (None, -signal.SIGABRT)


def verdict(endings: Sequence[Ending]) -> WanVideoError:
    """The error that says which rank was the first cause."""
    if failed := [ending for ending in endings if ending.failed]:
        said = {str(ending.last.values) for ending in failed if ending.last is not None}
        # What all of them say alike is no fault of a rank.
        return _error(failed[0], len(endings), shared=len(failed) == len(endings) and len(said) == 1)
    if died := next((ending for ending in endings if ending.died), None):
        code = died.exitcode or 0
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        why = ": the system kills what takes too much memory" if code == -signal.SIGKILL else ""
        return _rank_failed(died, len(endings), f"died {how}{why}")
    hanging = [ending for ending in endings if ending.hangs]
    unheard = [ending for ending in endings if ending.last is None and ending.exitcode is None]
    if hanging or unheard:
        return _rank_failed(
            (*hanging, *unheard)[0], len(endings), "does not go on, and the others have waited too long for it"
        )
    reason = next((ending.last.values["message"] for ending in endings if ending.last is not None), "aborted")
    return _rank_failed(endings[0], len(endings), f"and the others lost one another ({reason})")


def _error(ending: Ending, size: int, *, shared: bool) -> WanVideoError:
    assert ending.last is not None
    values = ending.last.values
    kind = getattr(errors, values["error"] or "", None)
    if not (isinstance(kind, type) and issubclass(kind, WanVideoError)):
        return _rank_failed(ending, size, f"failed: {values['message']}")
    message = values["message"] if shared else f"{_name(ending, size)}: {values['message']}"
    facts = values["facts"] if shared else {**values["facts"], "rank": ending.rank}
    return kind(message, suggestions=values["suggestions"], facts=facts)


def _rank_failed(ending: Ending, size: int, what: str) -> RankFailed:
    return RankFailed(
        f"{_name(ending, size)}, {what}; all were ended, and the next run starts new ones: go on from the last "
        "checkpoint, or use one GPU",
        suggestions=("one GPU",),
        facts={"rank": ending.rank, "ranks": size, "device": ending.device},
    )


def _name(ending: Ending, size: int) -> str:
    return f"rank {ending.rank} of {size}, on {ending.device}"
