import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.weights.tiny_models import write_model


@pytest.fixture(scope="session")
def models_on_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders t2v, i2v and ti2v; to be read only."""
    root = tmp_path_factory.mktemp("models")
    for kind in ("t2v", "i2v", "ti2v"):
        write_model(root / kind, kind)
    return root


@pytest.fixture
def copy(models_on_disk: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A copy of one of the models, to be damaged."""

    def make(kind: str) -> Path:
        return Path(shutil.copytree(models_on_disk / kind, tmp_path / kind))

    return make
