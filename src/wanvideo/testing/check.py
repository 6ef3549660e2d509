"""One thing that a family has to do, and what is said of one that does not."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from wanvideo.errors import InvalidRequest


class NotConforming(AssertionError):
    """What a family does otherwise than it should, and what it should do."""


@dataclass(frozen=True, slots=True)
class Check:
    """Call it: it returns if all is well, and raises NotConforming if not."""

    name: str
    run: Callable[[], None]

    def __call__(self) -> None:
        self.run()

    def __str__(self) -> str:
        return self.name


def require(condition: bool, message: str) -> None:
    """Raises NotConforming with `message` unless `condition` holds."""
    if not condition:
        raise NotConforming(message)


@contextmanager
def refused(what: str, error: type[InvalidRequest], *said: str) -> Iterator[None]:
    """The block has to raise `error` with each of `said` in its message."""
    try:
        yield
    except error as caught:
        missing = [word for word in said if word not in caught.message]
        require(not missing, f"{what}: the message does not name {', '.join(missing)}: {caught.message!r}")
    except InvalidRequest as caught:
        raise NotConforming(
            f"{what}: raises {type(caught).__name__}, and {error.__name__} is meant for this"
        ) from caught
    else:
        raise NotConforming(f"{what}: nothing is raised; raise {error.__name__} with the legal values")
