"""What every test can rely on: no network, the same examples on every run, and no GPU test where there is no GPU."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.hub.loopback import LoopbackHub, running_hub
from tests.postgres import MISSING, TEMPLATE, Postgres, programs, running
from wanvideo.jobs.database import Database

os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is imported, by the reference implementations
# Before torch is imported: its threads would wait for each other by spinning, which is slow where cores are shared.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
if not any(Path(device).exists() for device in ("/dev/nvidiactl", "/dev/dxg")):
    # Before Triton is imported, which torch does by the way: its kernels are interpreted where there is no GPU.
    os.environ["TRITON_INTERPRET"] = "1"

# Shells let programs in the background ignore Ctrl-C, and what these start would, too: tests would wait in vain.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Timing says nothing about correctness on a busy machine, and a random example would fail somebody else's change.
settings.register_profile("suite", deadline=None, derandomize=True)
settings.load_profile("suite")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is marked `gpu` on a machine without a CUDA device."""
    on_gpu = [item for item in items if item.get_closest_marker("gpu")]
    if not on_gpu:
        return
    import torch

    if not torch.cuda.is_available():
        for item in on_gpu:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture
def loopback() -> Iterator[LoopbackHub]:
    """A hub on this computer, which does as it is told."""
    with running_hub() as hub:
        yield hub


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    where = programs()
    if where is None:
        pytest.skip(MISSING)
    with running(where) as server:
        made = Database(server.create(TEMPLATE))
        made.migrate()
        made.close()
        yield server
