"""Whole runs of tiny models on the CPU."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from tests.pipelines.conftest import KINDS, ask, load, picture
from wanvideo.errors import (
    IncompatibleState,
    InvalidPrompt,
    InvalidRequest,
    ModelMissing,
    NonFiniteLatents,
    NotEnoughMemory,
    UnknownModel,
)
from wanvideo.models.transformer import WanTransformer, keeps_fp32
from wanvideo.models.vae import WanVAE
from wanvideo.pipelines.arrival import to_rgb
from wanvideo.pipelines.events import Event, Frames, Resolved
from wanvideo.pipelines.pipeline import Pipeline
from wanvideo.pipelines.state import Checkpoint
from wanvideo.request import GenerationRequest, Phase, Progress, Solver
from wanvideo.runtime.machine import Machine
from wanvideo.runtime.streaming import Arena, BlockStream, HostMemory
from wanvideo.sampling.guidance import Expert
from wanvideo.weights.variants import Part

GIB = 2**30
Pipelines = dict[str, Pipeline]


def frames(events: "list[Event]") -> npt.NDArray[np.uint8]:
    return np.concatenate([event.frames for event in events if isinstance(event, Frames)])


def latents(events: "list[Event]") -> torch.Tensor:
    return [event for event in events if isinstance(event, Checkpoint)][-1].state.latents


def run(pipeline: Pipeline, request: GenerationRequest, **options: Any) -> "list[Event]":
    return list(pipeline.generate(request, **options))


def count_calls(monkeypatch: pytest.MonkeyPatch, module: type[torch.nn.Module]) -> list[object]:
    """The instances that are called from now on, in their order."""
    calls: list[object] = []
    forward: Callable[..., Any] = module.forward

    def counted(self: torch.nn.Module, *args: Any) -> Any:
        calls.append(self)
        return forward(self, *args)

    monkeypatch.setattr(module, "forward", counted)
    return calls


@pytest.mark.parametrize("kind", KINDS)
def test_a_request_becomes_frames_and_tells_how_far_it_is(pipelines: Pipelines, kind: str) -> None:
    image = picture(80, 90) if kind != "t2v" else None
    events = run(pipelines[kind], ask(kind, image=image))
    first, *rest = events
    assert isinstance(first, Resolved)
    assert (first.request.width, first.request.frames, first.request.seed) == (64, 5, 7)
    steps: dict[Phase, list[int]] = {}
    for event in rest:
        if isinstance(event, Progress):
            steps.setdefault(event.phase, []).append(event.step)
            assert event.seconds >= 0
    networks = 3 if kind == "ti2v" else 4
    assert list(steps) == [Phase.LOAD, Phase.ENCODE, Phase.DENOISE, Phase.DECODE]
    assert steps[Phase.LOAD] == list(range(networks + 1))
    assert steps[Phase.ENCODE] == ([0, 1] if image is None else [0, 1, 2])
    assert steps[Phase.DENOISE] == [0, 1, 2, 3, 4]
    assert steps[Phase.DECODE] == [0, 1, 2]
    assert [event.step for event in rest if isinstance(event, Checkpoint)] == [1, 2, 3, 4]
    assert [event.index for event in rest if isinstance(event, Frames)] == [0, 1]
    assert frames(events).shape == (5, 64, 64, 3)
    assert frames(events).std() > 3


def test_steps_name_their_expert_if_there_are_two(pipelines: Pipelines) -> None:
    def experts(kind: str) -> list[str | None]:
        events = run(pipelines[kind], ask(kind))
        return [e.expert for e in events if isinstance(e, Progress) and e.phase is Phase.DENOISE and e.step]

    assert experts("t2v") == ["high", "high", "high", "low"]
    assert experts("ti2v") == [None] * 4


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not(pipelines: Pipelines, kind: str) -> None:
    one, two, other = (pipelines[kind](ask(kind, seed=seed, frames=5)).frames for seed in (7, 7, 8))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


def test_calling_a_pipeline_gives_a_video_with_its_settings(pipelines: Pipelines) -> None:
    seen: list[Progress] = []
    video = pipelines["t2v"](ask("t2v", seed=None), on_progress=seen.append)
    assert (video.frames.shape, video.fps) == ((5, 64, 64, 3), 16)
    settings: Any = video.settings
    assert settings["app"] == "wanvideo"
    assert settings["models"] == [{"id": "t2v"}]
    assert settings["params"]["prompt"] == "a small red circle moves left"
    assert 0 <= settings["params"]["seed"] < 2**63
    assert set(settings["timing"]) == {"load", "encode", "denoise", "decode"}
    assert [progress.step for progress in seen if progress.phase is Phase.DENOISE] == [0, 1, 2, 3, 4]
    again = pipelines["t2v"](ask("t2v", seed=settings["params"]["seed"]))
    assert np.array_equal(again.frames, video.frames)


def test_a_single_frame_is_a_still_image(pipelines: Pipelines) -> None:
    assert pipelines["t2v"](ask("t2v", frames=1)).frames.shape == (1, 64, 64, 3)
    assert pipelines["i2v"](ask("i2v", frames=1)).frames.shape == (1, 64, 64, 3)


@pytest.mark.parametrize("solver", Solver)
@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_run_ends_with_the_same_bits(pipelines: Pipelines, kind: str, solver: Solver, tmp_path: Path) -> None:
    image = None if kind == "t2v" else picture()
    request = ask(kind, image=image, solver=solver, steps=5)
    whole = run(pipelines[kind], request)
    for checkpoint in [event for event in whole if isinstance(event, Checkpoint)][::2]:
        checkpoint.save(tmp_path / "run")
        rest = run(pipelines[kind], request, resume=Checkpoint.load(tmp_path / "run"))
        assert np.array_equal(frames(rest), frames(whole))
        steps = [event.step for event in rest if isinstance(event, Checkpoint)]
        assert steps == list(range(checkpoint.step + 1, 6))


def test_a_resumed_run_with_a_step_cache_ends_with_the_same_bits(pipelines: Pipelines, tmp_path: Path) -> None:
    request = ask("ti2v", steps=8, step_cache=0.5)
    whole = run(pipelines["ti2v"], request)
    reused = [event.reused for event in whole if isinstance(event, Progress) and event.phase is Phase.DENOISE]
    assert reused[-1] > 0
    assert reused == sorted(reused)
    for checkpoint in [event for event in whole if isinstance(event, Checkpoint)]:
        checkpoint.save(tmp_path / "run")
        rest = run(pipelines["ti2v"], request, resume=Checkpoint.load(tmp_path / "run"))
        assert np.array_equal(frames(rest), frames(whole))
        assert max(event.reused for event in rest if isinstance(event, Progress)) == reused[-1]


def test_settings_say_how_many_steps_were_computed(pipelines: Pipelines) -> None:
    exact, off, cached = (pipelines["ti2v"](ask("ti2v", steps=8, step_cache=threshold)) for threshold in (None, 0, 0.5))
    assert np.array_equal(exact.frames, off.frames)
    assert not np.array_equal(exact.frames, cached.frames)
    settings: Any = exact.settings
    assert settings["steps"] == {"computed": 8, "reused": 0}
    assert settings["params"]["step_cache"] is None
    settings = cached.settings
    assert settings["params"]["step_cache"] == 0.5
    assert settings["steps"]["reused"] > 0
    assert sum(settings["steps"].values()) == 8


def test_a_finished_run_resumes_with_decoding_alone(pipelines: Pipelines, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(pipelines["t2v"], ask("t2v"))
    last = [event for event in whole if isinstance(event, Checkpoint)][-1]
    calls = count_calls(monkeypatch, WanTransformer)
    rest = run(pipelines["t2v"], ask("t2v"), resume=last)
    assert np.array_equal(frames(rest), frames(whole))
    assert not calls


def test_a_resumed_run_takes_the_seed_it_had_and_refuses_another(pipelines: Pipelines) -> None:
    whole = run(pipelines["t2v"], ask("t2v", seed=None))
    checkpoint = next(event for event in whole if isinstance(event, Checkpoint))
    assert np.array_equal(frames(run(pipelines["t2v"], ask("t2v", seed=None), resume=checkpoint)), frames(whole))
    with pytest.raises(IncompatibleState, match="seed was"):
        run(pipelines["t2v"], ask("t2v", seed=1), resume=checkpoint)
    with pytest.raises(IncompatibleState, match="model was 't2v' and is now 'ti2v'"):
        run(pipelines["ti2v"], ask("ti2v", seed=None), resume=checkpoint)


def test_closing_the_generator_cancels_between_steps(pipelines: Pipelines, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = count_calls(monkeypatch, WanTransformer)
    events = pipelines["t2v"].generate(ask("t2v"))
    for event in events:
        if isinstance(event, Checkpoint):
            break
    events.close()
    assert len(calls) == 2
    with pytest.raises(StopIteration):
        next(events)
    assert len(pipelines["t2v"](ask("t2v")).frames) == 5


def test_guidance_of_one_halves_the_calls(pipelines: Pipelines, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = count_calls(monkeypatch, WanTransformer)
    for guidance, guidance_low, expected in ((3.0, 3.0, 8), (1.0, 3.0, 5), (1.0, 1.0, 4)):
        calls.clear()
        run(pipelines["t2v"], ask("t2v", guidance=guidance, guidance_low=guidance_low))
        assert len(calls) == expected
        assert len(set(map(id, calls))) == 2


def test_the_negative_prompt_counts_only_with_guidance(pipelines: Pipelines) -> None:
    def video(**changes: Any) -> npt.NDArray[np.uint8]:
        return pipelines["t2v"](ask("t2v", **changes)).frames

    assert not np.array_equal(video(negative_prompt=""), video(negative_prompt="blue square"))
    assert np.array_equal(video(negative_prompt="", guidance=1), video(negative_prompt="blue square", guidance=1))


@pytest.mark.parametrize("kind", KINDS)
def test_batched_guidance_gives_the_same_within_rounding(pipelines: Pipelines, tiny: Path, kind: str) -> None:
    request = ask(kind, image=None if kind == "t2v" else picture())
    with load(tiny / kind, device="cpu", batch_guidance=True) as batched:
        difference = latents(run(batched, request)) - latents(run(pipelines[kind], request))
    assert difference.abs().max() <= 1e-5


def test_the_first_frame_of_the_5b_model_is_the_picture(pipelines: Pipelines) -> None:
    image = picture()
    events = run(pipelines["ti2v"], ask("ti2v", image=image))
    vae = pipelines["ti2v"]._parts.vae()
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None, :, None].float() / 127.5 - 1
    known = vae.encode(pixels)
    torch.testing.assert_close(latents(events)[:, :, :1], known)
    assert np.abs(frames(events)[:1].astype(int) - to_rgb(vae.decode(known)).numpy().astype(int)).max() <= 1


def test_pictures_and_their_order_matter(pipelines: Pipelines) -> None:
    red, blue = picture(seed=1), picture(seed=2)
    videos = [
        pipelines["i2v"](ask("i2v", image=image, end_image=end)).frames
        for image, end in ((red, None), (blue, None), (red, blue), (blue, red))
    ]
    assert len({video.tobytes() for video in videos}) == 4


def test_previews_come_when_they_are_asked_for(pipelines: Pipelines) -> None:
    def previews(**options: Any) -> list[Any]:
        events = run(pipelines["ti2v"], ask("ti2v"), **options)
        return [e.preview for e in events if isinstance(e, Progress) and e.phase is Phase.DENOISE and e.step]

    assert previews() == [None] * 4
    for preview in previews(previews=True):
        assert (preview.width, preview.height, preview.frames) == (4, 4, 2)
        assert len(preview.rgb) == 4 * 4 * 2 * 3


def test_a_prompt_that_is_too_long_is_cut_and_that_is_reported(pipelines: Pipelines) -> None:
    events = pipelines["t2v"].generate(ask("t2v", prompt="red circle " * 400))
    first = next(events)
    assert isinstance(first, Resolved)
    (change,) = first.request.adjustments
    assert (change.field, change.used) == ("prompt", "512 tokens")


def test_wrong_input_is_refused_before_anything_is_loaded(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with load(tiny / "t2v", device="cpu") as pipeline:
        with pytest.raises(InvalidPrompt):
            pipeline.generate(ask("t2v", prompt=" "))
        next(pipeline.generate(ask("t2v")))
        assert not pipeline._parts._loaded


def test_decoding_in_tiles_gives_nearly_the_same_video(pipelines: Pipelines, tiny: Path) -> None:
    request = ask("t2v", width=128, height=64)
    with load(tiny / "t2v", device="cpu", tile=64) as tiled:
        video = tiled(request).frames
    whole = pipelines["t2v"](request).frames
    assert video.shape == whole.shape
    assert np.abs(video.astype(float) - whole).mean() < whole.std()
    assert not np.array_equal(video, whole)


def damaged(tiny: Path, tmp_path: Path, part: str, name: str) -> Path:
    """A copy of t2v with one NaN in the tensor `name` of `part`."""
    folder = Path(shutil.copytree(tiny / "t2v", tmp_path / "t2v"))
    (file,) = (f for f in (folder / part).glob("*.safetensors") if name in load_file(f))
    tensors = load_file(file)
    tensors[name].view(-1)[0] = torch.nan
    save_file(tensors, file, metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize(
    ("part", "name", "message"),
    [
        ("transformer", "proj_out.weight", "step 1 of 4 by the high-noise expert at timestep 999"),
        ("transformer_2", "proj_out.weight", "step 4 of 4 by the low-noise expert at timestep"),
        ("text_encoder", "encoder.final_layer_norm.weight", "the text encoder gave"),
        ("vae", "decoder.conv_out.bias", "the autoencoder gave"),
    ],
)
def test_damaged_weights_stop_the_run_and_are_named(
    tiny: Path, tmp_path: Path, part: str, name: str, message: str
) -> None:
    folder = damaged(tiny, tmp_path, part, name)
    with load(folder, device="cpu") as pipeline, pytest.raises(NonFiniteLatents, match=message):
        pipeline(ask("t2v"))


def test_what_waits_in_host_memory_is_there_for_the_next_plan(
    pipelines: Pipelines, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = Machine(gpu="a GPU", gpu_total=16 * GIB, gpu_free=15 * GIB, host_total=64 * GIB, host_available=10 * GIB)
    monkeypatch.setattr("wanvideo.pipelines.pipeline.this_machine", lambda *_: there)
    pipeline = load(tiny / "t2v", device="cpu", dtype="bfloat16")
    arena, network = Arena(torch.device("cpu")), nn.Sequential(nn.Linear(1024, 1024))
    stream = BlockStream(network, network, arena, memory=HostMemory())
    pipeline._parts.device = torch.device("cuda")
    pipeline._parts._waiting[Part.TRANSFORMER] = pipelines["t2v"]._parts.transformer(Expert.HIGH), stream
    machine = pipeline._machine()
    assert machine is not None
    assert machine.host_available == 10 * GIB + 4 * 1024 * 1024
    stream.close()
    machine = pipeline._machine()
    assert machine is not None
    assert machine.host_available == 10 * GIB


def test_running_out_of_memory_says_in_which_phase(pipelines: Pipelines, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(WanVAE, "pixels", full)
    with pytest.raises(NotEnoughMemory, match=r"phase decode.*or ask for 1 frame$") as caught:
        pipelines["t2v"](ask("t2v"))
    assert caught.value.facts["phase"] == "decode"
    assert caught.value.suggestions == ("1 frame",)


def test_bfloat16_runs_and_is_near(pipelines: Pipelines, tiny: Path) -> None:
    with load(tiny / "t2v", device="cpu", dtype="bfloat16", vae_dtype=torch.bfloat16) as pipeline:
        low = pipeline(ask("t2v")).frames.astype(float)
    assert np.abs(low - pipelines["t2v"](ask("t2v")).frames).mean() < 3


def test_float16_runs_and_is_nearer_with_its_text_in_bfloat16(pipelines: Pipelines, tiny: Path) -> None:
    matmul = torch.backends.cuda.matmul
    sums: list[bool] = []
    with load(tiny / "t2v", device="cpu", dtype="float16") as pipeline:
        assert isinstance(pipeline, Pipeline)
        assert {p.dtype for p in pipeline._parts.text_encoder().parameters()} == {torch.bfloat16}
        parameters = dict(pipeline._parts.transformer(Expert.HIGH).named_parameters())
        kept = {p.dtype for name, p in parameters.items() if keeps_fp32(name)}
        assert (kept, parameters["blocks.0.ffn.0.bias"].dtype) == ({torch.float32}, torch.float16)
        frames = None
        for event in pipeline.generate(ask("t2v")):
            sums.append(matmul.allow_fp16_reduced_precision_reduction)
            frames = event.frames if isinstance(event, Frames) and event.index == 0 else frames
    assert frames is not None
    assert np.abs(frames.astype(float) - pipelines["t2v"](ask("t2v")).frames[: len(frames)]).mean() < 2
    assert False in sums, "sums are float32 while products are computed"
    assert matmul.allow_fp16_reduced_precision_reduction


def test_models_are_found_by_folder_and_by_name(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    with load(str(tiny / "t2v")) as pipeline:
        assert pipeline.spec.id == "t2v"
    with pytest.raises(ModelMissing, match="does not exist"):
        load(tmp_path / "nothing")
    with pytest.raises(UnknownModel, match="did you mean"):
        load("t2v-A14")
    with pytest.raises(ModelMissing, match="t2v-A14B is not on disk"):
        load("Wan-AI/Wan2.2-T2V-A14B-Diffusers", roots=[tmp_path / "models"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "tpu9"}, "no device is called 'tpu9'"),
        ({"device": "meta"}, "meta cannot be used"),
        ({"device": "cuda:99"}, "cuda:99 is not there"),
        ({"dtype": "float8"}, "float32, bfloat16, float16"),
        ({"vae_dtype": torch.float64}, "float64 cannot be used"),
        ({"tile": 8}, "at least 64"),
    ],
)
def test_wrong_options_are_refused(tiny: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        load(tiny / "t2v", **options)


def test_frames_are_truncated_as_in_the_official_code() -> None:
    values = torch.tensor([-1.0, -0.999, 0.0, 0.5, 0.99999, 1.0]).reshape(1, 1, 1, 1, 6).expand(-1, 3, -1, -1, -1)
    assert to_rgb(values)[0, 0, :, 0].tolist() == [0, 0, 127, 191, 254, 255]


@pytest.mark.gpu
@pytest.mark.parametrize("kind", KINDS)
def test_a_gpu_makes_nearly_the_same_video(pipelines: Pipelines, tiny: Path, kind: str) -> None:
    request = ask(kind, image=None if kind == "t2v" else picture())
    with load(tiny / kind, device="cuda", dtype="float32") as pipeline:
        difference = pipeline(request).frames.astype(float) - pipelines[kind](request).frames
    assert np.abs(difference).mean() < 1
