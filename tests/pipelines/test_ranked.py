"""Whole videos of the demo models by several processes: what one process makes, whatever happens to them."""

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from torch import Tensor

import wanvideo
from tests.pipelines.conftest import picture
from wanvideo.errors import InvalidRequest, RankFailed
from wanvideo.pipelines.events import Event, Frames
from wanvideo.pipelines.ranked import RankedPipeline
from wanvideo.pipelines.state import Checkpoint
from wanvideo.request import GenerationRequest, LoraUse
from wanvideo.weights.places import DEMO_FOLDER

DEMO_LORAS = DEMO_FOLDER / "loras"
REQUEST = GenerationRequest(prompt="a small red circle moves left", width=112, height=80, frames=9, steps=4, seed=3)


def load(name: str, gpus: int) -> RankedPipeline:
    pipeline = wanvideo.load(name, device="cpu", gpus=gpus)
    assert isinstance(pipeline, RankedPipeline)
    return pipeline


def made(events: list[Event]) -> tuple[Tensor, npt.NDArray[np.uint8]]:
    """The last latents, and all frames."""
    latents = [event.state.latents for event in events if isinstance(event, Checkpoint)][-1]
    return latents, np.concatenate([event.frames for event in events if isinstance(event, Frames)])


def check_equal(one: list[Event], several: list[Event]) -> None:
    assert [type(event) for event in one] == [type(event) for event in several]
    (latents, frames), (theirs, their_frames) = made(one), made(several)
    assert (theirs - latents).abs().max() <= 1e-5 * latents.abs().max()  # sums in another order
    assert np.abs(frames.astype(int) - their_frames).max() <= 1


@pytest.fixture(scope="module")
def one() -> list[Event]:
    """The events of the request, made by this process alone."""
    with wanvideo.load("t2v-A14B-demo", device="cpu") as pipeline:
        return list(pipeline.generate(REQUEST))


@pytest.fixture(scope="module")
def two() -> Iterator[RankedPipeline]:
    with load("t2v-A14B-demo", 2) as pipeline:
        yield pipeline


# --- the same video --------------------------------------------------------------------------------------------------


def test_two_ranks_make_the_video_of_one(one: list[Event], two: RankedPipeline) -> None:
    check_equal(one, list(two.generate(REQUEST)))


def test_a_run_that_is_given_up_leaves_the_ranks_ready_for_the_next(one: list[Event], two: RankedPipeline) -> None:
    with closing(two.generate(REQUEST)) as events:
        assert any(isinstance(event, Checkpoint) for event in events)
    pids = two.pids
    check_equal(one, list(two.generate(REQUEST)))
    assert two.pids == pids


def test_what_cannot_be_is_refused_before_anything_starts() -> None:
    pipeline = load("t2v-A14B-demo", 2)
    with pytest.raises(InvalidRequest, match="steps"):
        pipeline.generate(GenerationRequest(prompt="x", steps=0))
    assert pipeline.pids == []
    with pytest.raises(InvalidRequest, match="gpus is 0"):
        wanvideo.load("t2v-A14B-demo", device="cpu", gpus=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["t2v-A14B-demo", "ti2v-5B-demo", "i2v-A14B-demo"])
def test_three_ranks_make_the_video_of_one(name: str) -> None:
    check_models(name, 3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["t2v-A14B-demo", "ti2v-5B-demo", "i2v-A14B-demo"])
def test_two_ranks_take_pictures_and_loras(name: str) -> None:
    check_models(name, 2)


def check_models(name: str, gpus: int) -> None:
    request = GenerationRequest(prompt="a square", width=96, height=160, frames=5, steps=3, seed=1, guidance_low=1.0)
    if name.startswith("t2v"):
        request = replace(request, loras=(LoraUse(source=next(DEMO_LORAS.glob("*.safetensors"))),))
    else:
        request = replace(request, image=picture(96, 160))
    with wanvideo.load(name, device="cpu") as pipeline, load(name, gpus) as several:
        check_equal(list(pipeline.generate(request)), list(several.generate(request)))


# --- faults ----------------------------------------------------------------------------------------------------------


def test_after_a_rank_was_killed_a_fresh_group_goes_on_from_the_checkpoint(
    one: list[Event], two: RankedPipeline
) -> None:
    events = two.generate(REQUEST)
    kept = next(event for event in events if isinstance(event, Checkpoint))
    pids = two.pids
    os.kill(pids[1], signal.SIGKILL)
    with pytest.raises(RankFailed, match=r"^rank 1 of 2, on cpu, died by signal 9"):
        list(events)
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    rest = list(two.generate(REQUEST, resume=kept))
    assert min(event.step for event in rest if isinstance(event, Checkpoint)) == kept.step + 1
    (latents, frames), (theirs, their_frames) = made(one), made(rest)
    assert (theirs - latents).abs().max() <= 1e-5 * latents.abs().max()  # sums in another order
    assert np.abs(frames.astype(int) - their_frames).max() <= 1
