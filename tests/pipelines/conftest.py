"""Three tiny models with random weights, opened once."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLWan
from PIL import Image

from tests.weights.tiny_models import STATISTICS_22, write_model
from wanvideo.families.load import load as load_any
from wanvideo.pipelines.pipeline import Pipeline
from wanvideo.request import GenerationRequest

KINDS = ("t2v", "i2v", "ti2v")


def load(name_or_folder: str | Path, **options: Any) -> Pipeline:
    """`wanvideo.load` of a Wan model."""
    pipeline = load_any(name_or_folder, **options)
    assert isinstance(pipeline, Pipeline)
    return pipeline


def picture(width: int = 64, height: int = 64, seed: int = 0) -> Image.Image:
    """Soft random colours."""
    cells = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(cells).resize((width, height), Image.Resampling.BICUBIC)


def ask(kind: str, **changes: Any) -> GenerationRequest:
    """A small request for the model `kind`: 5 frames of 64x64 in 4 steps."""
    values: dict[str, Any] = {
        "prompt": "a small red circle moves left",
        "width": 64,
        "height": 64,
        "frames": 5,
        "steps": 4,
        "seed": 7,
    }
    if kind == "i2v":
        values["image"] = picture()
    return GenerationRequest(**(values | changes))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the models t2v, i2v and ti2v; to be read only."""
    root = tmp_path_factory.mktemp("tiny")
    for kind in KINDS:
        write_model(root / kind, kind)
        write_small_vae(root / kind / "vae", kind)
    return root


def write_small_vae(folder: Path, kind: str) -> None:
    """In the place of the one that is there: these tests decode a hundred videos."""
    torch.manual_seed(2)
    options: dict[str, Any] = {"base_dim": 8, "dim_mult": [1, 1, 1, 1], "num_res_blocks": 1}
    if kind == "ti2v":
        options |= {"z_dim": 48, "is_residual": True, "in_channels": 12, "out_channels": 12, "patch_size": 2}
        options |= {"scale_factor_spatial": 16} | STATISTICS_22
    shutil.rmtree(folder)
    AutoencoderKLWan(**options).save_pretrained(folder)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Threads only get in one another's way in networks as small as these."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def pipelines(tiny: Path) -> Iterator[dict[str, Pipeline]]:
    with ExitStack() as stack:
        yield {kind: stack.enter_context(load(tiny / kind, device="cpu")) for kind in KINDS}
