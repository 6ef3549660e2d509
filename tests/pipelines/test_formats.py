"""Videos made with files in other formats than those of Diffusers repositories."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.pipelines.placed import planned
from tests.weights import dialects as d
from tests.weights.test_finding import HIGH, LOW, comfy
from wanvideo.kernels.eight_bit import FP8, INT8
from wanvideo.pipelines.architecture import architecture_of
from wanvideo.pipelines.memory import count_weights
from wanvideo.pipelines.pipeline import Pipeline
from wanvideo.request import GenerationRequest, Tier
from wanvideo.runtime.placement import Source
from wanvideo.weights.convert import Target, convert_model
from wanvideo.weights.finding import find
from wanvideo.weights.folder import ModelFolder, open_folder
from wanvideo.weights.places import Added, Places

__all__ = ["comfy"]  # a fixture
REQUEST = GenerationRequest(prompt="a red circle", width=64, height=64, frames=5, steps=3, seed=4)


def found(places: Places, variant: str) -> ModelFolder:
    folder = find(d.SPEC, places, variant=variant)
    assert folder is not None
    return folder


def frames(folder: ModelFolder) -> np.ndarray[Any, np.dtype[np.int16]]:
    with Pipeline(d.SPEC, folder, device="cpu") as pipeline:
        return pipeline(REQUEST).frames.astype(np.int16)


def write_pair(root: Path, name: str, write: Mapping[str, Any]) -> None:
    for role, tensors in write.items():
        d.write(root / f"wan2.2_t2v_{role}_noise_14B_{name}.safetensors", tensors)


@pytest.fixture(scope="module")
def made(comfy: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Places, np.ndarray[Any, Any]]:
    """A place with 16-bit experts beside the ComfyUI tree, and the video that they make."""
    root = tmp_path_factory.mktemp("more")
    write_pair(root, "fp16", {"high": d.as_16_bit(HIGH), "low": d.as_16_bit(LOW)})
    for role, tensors in (("High", HIGH), ("Low", LOW)):
        d.write_gguf(root / f"Wan2.2-T2V-A14B-{role}Noise-Q8_0.gguf", d.as_gguf(tensors, "Q8_0"), file_type=7)
    places = Places(roots=(root, comfy))
    return places, frames(found(places, "fp16"))


@pytest.mark.parametrize("variant", ["fp8", "q8_0"])
def test_quantised_files_make_nearly_the_same_video(made: tuple[Places, np.ndarray[Any, Any]], variant: str) -> None:
    places, expected = made
    difference = np.abs(frames(found(places, variant)) - expected)
    assert difference.mean() < 4  # of 255


def test_a_converted_model_makes_the_same_video(made: tuple[Places, np.ndarray[Any, Any]], tmp_path: Path) -> None:
    places, expected = made
    for _ in convert_model(d.SPEC, found(places, "fp16"), tmp_path / "out", Target.BF16):
        pass
    assert np.abs(frames(open_folder(tmp_path / "out")) - expected).max() <= 1  # the last bit of a sum


@pytest.mark.parametrize(("target", "kind"), [(Target.FP8, FP8), (Target.INT8, INT8)])
def test_a_model_converted_to_8_bits_streams_in_the_tier_fast_from_its_files(
    made: tuple[Places, np.ndarray[Any, Any]],
    target: Target,
    kind: torch.dtype,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    places, expected = made
    for _ in convert_model(d.SPEC, found(places, "fp16"), tmp_path / "out", target):
        pass
    folder = found(Places(added=(Added(path=tmp_path / "out"),)), target.value)
    videos = []
    for source in (None, Source.MAPPED):
        with Pipeline(d.SPEC, folder, device="cpu", tier=Tier.FAST) as pipeline:
            pipeline._parts.kind = kind
            if source is not None:
                planned(monkeypatch, pipeline, source=source)
            videos.append(pipeline(REQUEST).frames.astype(np.int16))
    resident, streamed = videos
    assert np.array_equal(resident, streamed)
    assert np.abs(resident - expected).mean() < 4


def test_quantised_weights_count_as_they_are_stored(made: tuple[Places, np.ndarray[Any, Any]]) -> None:
    places, _ = made
    whole, small = (found(places, variant) for variant in ("fp16", "fp8"))
    assert abs(count_weights(small.transformers[0]) - count_weights(whole.transformers[0])) < 100
    slabs = [architecture_of(folder, "any").slab(Tier.EXACT) for folder in (small, whole)]
    assert slabs[0] < 0.6 * slabs[1]
