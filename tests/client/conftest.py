"""Servers, and a way to them that breaks."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.client.breaking import Breaking
from tests.server.conftest import _logs_as_served, _nothing_of_this_machine  # noqa: F401
from tests.server.serving import Serving, no_workers, serving
from wanvideo.client import Client, Patience

QUICK = Patience(retries=4, reconnects=4, first=0.01)


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Serving]:
    """A demo server of one test, without workers: jobs wait."""
    with serving(tmp_path, workers=no_workers) as server:
        yield server


@pytest.fixture
def client(fresh: Serving) -> Iterator[Client]:
    with Client(fresh.url, patience=QUICK) as client:
        yield client


@pytest.fixture
def breaking() -> Iterator[Callable[..., Breaking]]:
    """Ways to a server that break the connections as they are told."""
    with ExitStack() as closing:
        yield lambda url, *cuts: closing.enter_context(Breaking(url, cuts))
