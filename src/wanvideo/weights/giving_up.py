"""Work that takes minutes, such as reading 28 GB of weights, can be given up in the middle of it. No torch."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from wanvideo.errors import Cancelled

_ASKED: Final[ContextVar[Callable[[], bool]]] = ContextVar("given_up_when")


@contextmanager
def given_up_when(asked: Callable[[], bool]) -> Iterator[None]:
    """While the block runs, `go_on_or_give_up` asks `asked`. It is passed so, rather than through every function that
    loads something, since whoever waits for the work is many layers away from the loop that does it."""
    token = _ASKED.set(asked)
    try:
        yield
    finally:
        _ASKED.reset(token)


def go_on_or_give_up() -> None:
    """To be called between the parts of long work, where it can end without harm. Raises Cancelled."""
    asked = _ASKED.get(None)
    if asked is not None and asked():
        raise Cancelled("cancelled")
