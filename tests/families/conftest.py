"""A family made for tests, and tiny Wan models."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders t2v, i2v and ti2v, each a whole model with random weights; to be read only."""
    from tests.weights.tiny_models import write_model

    root = tmp_path_factory.mktemp("tiny")
    for kind in ("t2v", "i2v", "ti2v"):
        write_model(root / kind, kind)
    return root
