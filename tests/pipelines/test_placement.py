"""Wherever the plan puts the networks, and whatever runs out on the way, the video is the same."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.pipelines.conftest import KINDS, ask, load, picture
from tests.pipelines.placed import planned, runs_out
from wanvideo.errors import NotEnoughMemory
from wanvideo.models.transformer import Block
from wanvideo.models.vae import WanVAE
from wanvideo.pipelines.events import Adjusted, Event, Frames, Planned
from wanvideo.pipelines.pipeline import Pipeline
from wanvideo.request import Phase, Progress
from wanvideo.runtime.placement import Placement, Source

Pipelines = dict[str, Pipeline]


def frames(events: list[Event]) -> NDArray[np.uint8]:
    return np.concatenate([event.frames for event in events if isinstance(event, Frames)])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "where",
    [
        {"resident": 0},
        {"resident": 1},
        {"source": Source.MAPPED},
        {"text": Placement.STREAMED},
        {"text": Placement.CPU},
        {"keep_all": True},
    ],
)
def test_the_video_is_the_same_wherever_the_networks_lie(
    kind: str, where: dict[str, Any], pipelines: Pipelines, tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with load(tiny / kind, device="cpu") as pipeline:
        planned(monkeypatch, pipeline, **where)
        events = list(pipeline.generate(ask(kind)))
        again = list(pipeline.generate(ask(kind)))
    right = pipelines[kind](ask(kind)).frames
    assert np.array_equal(frames(events), right)
    assert np.array_equal(frames(again), right)


@pytest.mark.parametrize("where", [{"keep_all": True}, {"resident": 1}, {"source": Source.MAPPED}])
def test_the_tier_fast_rounds_alike_wherever_the_networks_lie(
    where: dict[str, Any], tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with load(tiny / "ti2v", device="cpu", tier="fast") as pipeline:
        right = pipeline(ask("ti2v")).frames
    with load(tiny / "ti2v", device="cpu", tier="fast") as pipeline:
        planned(monkeypatch, pipeline, **where)
        assert np.array_equal(frames(list(pipeline.generate(ask("ti2v")))), right)


def test_one_network_at_a_time_is_on_the_device(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with load(tiny / "i2v", device="cpu") as pipeline:
        planned(monkeypatch, pipeline)
        parts, events, most = pipeline._parts, [], 0
        for event in pipeline.generate(ask("i2v")):
            events.append(event)
            most = max(most, len(parts._loaded) + (parts._arena.user is not None))
        assert most == 1
        assert not parts._loaded
        assert not parts._arena.slabs
        assert parts._waiting, "transformers stay in host memory for the next video"
    assert not parts._waiting
    loads = [e for e in events if isinstance(e, Progress) and e.phase is Phase.LOAD]
    assert [event.steps for event in loads if event.step == 0] == [1, 1, 2, 1]  # text encoder, VAE, experts, VAE


def test_what_does_not_fit_is_refused_with_the_reason(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with load(tiny / "t2v", device="cpu") as pipeline:
        planned(monkeypatch, pipeline, short=5)
        with pytest.raises(NotEnoughMemory, match=r"only a test.*wan plan") as caught:
            list(pipeline.generate(ask("t2v")))
    assert caught.value.facts["short_bytes"] == 5


@pytest.mark.parametrize("source", list(Source))
@pytest.mark.parametrize("keep_all", [True, False])
def test_when_memory_runs_out_between_steps_fewer_blocks_stay_and_nothing_is_lost(
    keep_all: bool, source: Source, pipelines: Pipelines, tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with load(tiny / "t2v", device="cpu") as pipeline:
        planned(monkeypatch, pipeline, keep_all=keep_all, resident=1, source=source)
        monkeypatch.setattr(Block, "forward", runs_out(Block.forward, {7}))
        events = list(pipeline.generate(ask("t2v")))
        assert not pipeline._parts.keep_all
        # Host memory that was too small for them in the plan is too small now.
        assert {stream.host_bytes > 0 for _, stream in pipeline._parts._waiting.values()} == {source is Source.PINNED}
    steps = [e.step for e in events if isinstance(e, Progress) and e.phase is Phase.DENOISE]
    assert steps == [0, 1, 2, 3, 4]
    before, after = (event.plan for event in events if isinstance(event, Planned))
    assert after.transformer.resident < max(before.transformer.resident, 2)
    assert after.transformer.source is source
    assert after.notes[-1].startswith("memory ran out, so 0 of ") or keep_all
    peaks = [plan.phase(Phase.DENOISE).peak_bytes for plan in (before, after)]
    assert (peaks[1] < peaks[0]) == (not keep_all)
    assert np.array_equal(frames(events), pipelines["t2v"](ask("t2v")).frames)


def test_blocks_that_could_not_wait_elsewhere_stay(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with load(tiny / "t2v", device="cpu") as pipeline:
        planned(monkeypatch, pipeline, keep_all=True, source=None)
        monkeypatch.setattr(Block, "forward", runs_out(Block.forward, {7}))
        assert not pipeline._parts.make_room()
        with pytest.raises(NotEnoughMemory, match="phase denoise"):
            list(pipeline.generate(ask("t2v")))


def test_when_nothing_is_left_to_move_it_says_so(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with load(tiny / "t2v", device="cpu") as pipeline:
        planned(monkeypatch, pipeline)
        monkeypatch.setattr(Block, "forward", runs_out(Block.forward, set(range(5, 50))))
        with pytest.raises(NotEnoughMemory, match="phase denoise"):
            list(pipeline.generate(ask("t2v")))


def test_when_memory_runs_out_while_decoding_tiles_go_on_and_no_frame_comes_twice(
    pipelines: Pipelines, tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = ask("t2v", width=192, height=64, frames=9)
    whole = pipelines["t2v"](request).frames
    with load(tiny / "t2v", device="cpu") as pipeline:
        monkeypatch.setattr(WanVAE, "pixels", runs_out(WanVAE.pixels, {2}))
        events = list(pipeline.generate(request))
    assert [e.index for e in events if isinstance(e, Frames)] == [0, 1, 5]
    assert np.array_equal(frames(events)[0], whole[0])
    assert frames(events).shape == whole.shape
    assert changes(events) == [("decode", "whole", "in tiles of 128x64")]
    # Whole, one of three chunks; then two tiles of three.
    assert decode_steps(events) == [(0, 3), (1, 3), *((step, 6) for step in range(7))]


def test_when_the_smallest_tiles_are_too_large_the_cpu_decodes_the_latents(
    pipelines: Pipelines, tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = ask("t2v", width=192, height=64, frames=9)
    with load(tiny / "t2v", device="cpu") as pipeline:
        read, places = pipeline._parts._read_vae, []

        def noted(where: torch.device, dtype: torch.dtype) -> WanVAE:
            places.append((where.type, dtype))
            return read(where, dtype)

        monkeypatch.setattr(pipeline._parts, "_read_vae", noted)
        monkeypatch.setattr(pipeline._parts, "vae_dtype", torch.float64)  # tells the one from the other
        monkeypatch.setattr(WanVAE, "pixels", runs_out(WanVAE.pixels, {3, 4}))
        events = list(pipeline.generate(request))
    assert places == [("cpu", torch.float64), ("cpu", torch.float32)]
    assert changes(events) == [
        ("decode", "whole", "in tiles of 128x64"),
        ("decode", "in tiles of 128x64", "whole, on the CPU"),
    ]
    assert [e.index for e in events if isinstance(e, Frames)] == [0, 1, 5]
    right = pipelines["t2v"](request).frames.astype(int)
    assert np.abs(frames(events) - right).max() <= 1  # all of it, but for how it was rounded


@pytest.mark.parametrize(("kind", "times"), [("i2v", {1}), ("ti2v", {1, 2})])
def test_when_memory_runs_out_while_encoding_tiles_or_the_cpu_go_on(
    kind: str, times: set[int], tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = ask(kind, width=192, height=64, image=picture(192, 64))
    with load(tiny / kind, device="cpu") as pipeline:
        monkeypatch.setattr(WanVAE, "moments", runs_out(WanVAE.moments, times))
        events = list(pipeline.generate(request))
    assert frames(events).shape == (5, 64, 192, 3)
    ways = [used for field, _, used in changes(events) if field == "encode"]
    assert ways == ["in tiles of 128x64", "whole, on the CPU"][: len(times)]


@pytest.mark.parametrize("kind", ["i2v", "ti2v"])
def test_each_tile_of_an_encode_is_a_step(kind: str, tiny: Any) -> None:
    request = ask(kind, width=384, height=128, image=picture(384, 128))
    with load(tiny / kind, device="cpu", tile=128) as pipeline:
        events = list(pipeline.generate(request))
    steps = [(e.step, e.steps) for e in events if isinstance(e, Progress) and e.phase is Phase.ENCODE]
    assert steps == [(step, 5) for step in range(6)]  # one of the text encoder, and four tiles


def test_before_tiles_the_other_networks_leave_and_the_video_is_the_same(
    pipelines: Pipelines, tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with load(tiny / "t2v", device="cpu") as pipeline:
        planned(monkeypatch, pipeline, keep_all=True)
        monkeypatch.setattr(WanVAE, "pixels", runs_out(WanVAE.pixels, {2}))
        events = list(pipeline.generate(ask("t2v")))
        assert not pipeline._parts.keep_all
    assert changes(events) == []
    assert np.array_equal(frames(events), pipelines["t2v"](ask("t2v")).frames)


def test_what_was_changed_on_the_way_is_in_the_settings(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with load(tiny / "t2v", device="cpu") as pipeline:
        monkeypatch.setattr(WanVAE, "pixels", runs_out(WanVAE.pixels, {2}))
        video = pipeline(ask("t2v", width=192))
    adjustments = video.settings["adjustments"]
    assert isinstance(adjustments, list)
    (change,) = adjustments
    assert (change["field"], change["used"]) == ("decode", "in tiles of 128x64")
    assert "Tried to allocate 1 GiB" in change["reason"]


def changes(events: list[Event]) -> list[tuple[str, str, str]]:
    made = [event.adjustment for event in events if isinstance(event, Adjusted)]
    return [(change.field, change.asked, change.used) for change in made]


def decode_steps(events: list[Event]) -> list[tuple[int, int]]:
    return [(e.step, e.steps) for e in events if isinstance(e, Progress) and e.phase is Phase.DECODE]
