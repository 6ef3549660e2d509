"""Requests become legal by documented rules, every change is listed, and nonsense is refused."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from wanvideo.errors import (
    ImageNotTaken,
    ImageRequired,
    InvalidFrames,
    InvalidImage,
    InvalidPrompt,
    InvalidRequest,
    InvalidSize,
)
from wanvideo.pipelines.adapt import MAX_SEED, adapt
from wanvideo.request import Adjustment, GenerationRequest, ResolvedRequest, Solver, Task
from wanvideo.weights.catalog import (
    I2V_A14B,
    I2V_A14B_DEMO,
    MODELS,
    NEGATIVE_PROMPT,
    T2V_A14B,
    T2V_A14B_DEMO,
    T2V_A14B_LIGHTNING,
    TI2V_5B,
    ModelSpec,
)

NAN, INF = float("nan"), float("inf")


def resolved(spec: ModelSpec = T2V_A14B, **changes: Any) -> ResolvedRequest:
    return adapt(spec, GenerationRequest(**({"prompt": "a heron lands on a frozen lake"} | changes)))


def blank(width: int, height: int) -> Image.Image:
    return Image.new("RGB", (width, height))


def changed(request: ResolvedRequest) -> dict[str, tuple[str, str]]:
    return {change.field: (change.asked, change.used) for change in request.adjustments}


@pytest.mark.parametrize("spec", MODELS, ids=lambda spec: spec.id)
def test_what_is_not_said_gets_the_default_of_the_model(spec: ModelSpec) -> None:
    request = resolved(spec, image=blank(1280, 704) if spec.requires_image else None)
    defaults = spec.defaults
    assert (request.frames, request.fps, request.steps) == (defaults.frames, defaults.fps, defaults.steps)
    assert (request.guidance_high, request.guidance_low) == (defaults.guidance_high, defaults.guidance_low)
    assert (request.shift, request.solver, request.sigmas) == (defaults.shift, defaults.solver, defaults.sigmas)
    assert request.negative_prompt == defaults.negative_prompt
    assert request.model == spec.id
    assert request.adjustments == ()
    if not spec.requires_image:
        assert (request.width, request.height) == (defaults.width, defaults.height)


# --- text


@pytest.mark.parametrize("prompt", ["", " ", "\n\t ", "\u200b\ufeff", "\x00\x1b"])
def test_a_prompt_that_says_nothing_is_refused(prompt: str) -> None:
    with pytest.raises(InvalidPrompt, match="the prompt is empty"):
        resolved(prompt=prompt)


@pytest.mark.parametrize("prompt", [None, 7, b"heron", ["heron"]])
def test_a_prompt_that_is_no_text_is_refused(prompt: object) -> None:
    with pytest.raises(InvalidPrompt, match="must be text"):
        resolved(prompt=prompt)
    with pytest.raises(InvalidPrompt, match="negative_prompt"):
        resolved(negative_prompt=7)


def test_control_characters_and_lone_surrogates_are_left_out_and_reported() -> None:
    request = resolved(prompt="a\x00 her\x1bon\ud800\nlands", negative_prompt="b\x07")
    assert (request.prompt, request.negative_prompt) == ("a heron\nlands", "b")
    assert set(changed(request)) == {"prompt", "negative_prompt"}


def test_a_long_prompt_is_taken_and_an_endless_one_refused() -> None:
    assert resolved(prompt="heron " * 5000).adjustments == ()
    with pytest.raises(InvalidPrompt, match="600000 characters"):
        resolved(prompt="heron " * 100_000)


def test_an_unset_negative_prompt_is_the_default_and_an_empty_one_is_empty() -> None:
    assert resolved().negative_prompt == NEGATIVE_PROMPT
    assert resolved(negative_prompt="").negative_prompt == ""
    assert resolved(negative_prompt=" \n").negative_prompt == ""
    assert resolved(negative_prompt="blur").negative_prompt == "blur"


# --- size


def test_a_rounded_size_is_reported() -> None:
    request = resolved(width=854, height=480)
    (change,) = request.adjustments
    assert (request.width, request.height) == (848, 480)
    assert (change.field, change.asked, change.used) == ("size", "854x480", "848x480")
    assert "multiples of 16" in change.reason


@pytest.mark.parametrize(
    ("sides", "size"),
    [
        ({"width": 832}, (832, 480)),
        ({"height": 480}, (832, 480)),
        ({"width": 416}, (416, 240)),
        ({"height": 720}, (1248, 720)),
        ({"width": 480, "image": blank(480, 832)}, (480, 832)),
        ({"height": 640, "image": blank(100, 100)}, (640, 640)),
    ],
)
def test_one_side_gives_the_other_by_the_shape_of_the_picture_or_of_the_default(
    sides: dict[str, Any], size: tuple[int, int]
) -> None:
    request = resolved(I2V_A14B if "image" in sides else T2V_A14B, **sides)
    assert (request.width, request.height) == size
    assert request.adjustments == ()


def test_only_the_side_that_was_asked_for_is_reported() -> None:
    assert changed(resolved(width=850)) == {"width": ("850", "848")}
    assert changed(resolved(height=3000)) == {"height": ("3000", "720")}


@pytest.mark.parametrize("value", [0, -64, 63, 16385, 10**9, 10**400, 480.0, NAN, "480", True])
@pytest.mark.parametrize("name", ["width", "height"])
def test_sides_that_are_no_sizes_are_refused_with_the_legal_ones(name: str, value: object) -> None:
    with pytest.raises(InvalidSize, match=f"{name}.*multiples of 16 from 64"):
        resolved(T2V_A14B, **({"width": 480, "height": 480} | {name: value}))


def test_a_derived_side_that_is_too_short_is_refused() -> None:
    with pytest.raises(InvalidSize, match="64x37 is too small"):
        resolved(width=64)


@pytest.mark.parametrize(
    ("spec", "picture", "size"),
    [
        (I2V_A14B, (832, 480), (832, 480)),
        (I2V_A14B, (480, 832), (480, 832)),
        (I2V_A14B, (1280, 720), (832, 464)),
        (I2V_A14B, (1024, 1024), (624, 624)),
        (TI2V_5B, (1920, 1080), (1248, 704)),
        (I2V_A14B_DEMO, (500, 500), (128, 128)),
        (I2V_A14B_DEMO, (640, 64), (256, 64)),
    ],
)
def test_a_picture_without_a_size_gives_its_shape(
    spec: ModelSpec, picture: tuple[int, int], size: tuple[int, int]
) -> None:
    request = resolved(spec, image=blank(*picture))
    assert (request.width, request.height) == size


def test_a_picture_of_another_shape_than_the_size_is_cropped_and_that_is_reported() -> None:
    request = resolved(I2V_A14B, image=blank(1000, 1000), width=832, height=480)
    assert changed(request) == {"image": ("1000x1000", "scaled to 832x832, the middle 832x480 of it")}
    assert resolved(I2V_A14B, image=blank(1280, 720), width=832, height=480).adjustments == ()
    end = resolved(I2V_A14B, image=blank(832, 480), end_image=blank(480, 832))
    assert set(changed(end)) == {"end_image"}
    assert "the size of the first frame has another shape" in end.adjustments[0].reason


# --- pictures


def test_a_picture_that_a_model_needs_is_missed_and_others_are_named() -> None:
    with pytest.raises(ImageRequired, match="i2v-A14B needs an image") as caught:
        resolved(I2V_A14B)
    assert caught.value.suggestions[:2] == ("t2v-A14B", "ti2v-5B")
    with pytest.raises(ImageRequired, match="without a first one"):
        resolved(I2V_A14B, end_image=blank(64, 64))


def test_a_picture_that_a_model_does_not_take_is_refused_and_others_are_named() -> None:
    with pytest.raises(ImageNotTaken, match="t2v-A14B takes no image: use i2v-A14B or ti2v-5B"):
        resolved(image=blank(64, 64))
    with pytest.raises(ImageNotTaken, match="use i2v-A14B-demo or ti2v-5B-demo"):
        resolved(T2V_A14B_DEMO, image=blank(64, 64))
    with pytest.raises(ImageNotTaken, match=r"ti2v-5B takes no end image: use i2v-A14B$"):
        resolved(TI2V_5B, image=blank(64, 64), end_image=blank(64, 64))


def test_pictures_are_read_now_so_that_bad_ones_are_found_now(tmp_path: Path) -> None:
    with pytest.raises(InvalidImage):
        resolved(I2V_A14B, image=tmp_path / "none.png")
    np.full((90, 160, 3), 200, np.uint8).tofile(tmp_path / "raw.png")
    with pytest.raises(InvalidImage):
        resolved(I2V_A14B, image=tmp_path / "raw.png")
    Image.new("RGB", (160, 90)).save(tmp_path / "good.png")
    request = resolved(I2V_A14B, image=str(tmp_path / "good.png"))
    assert request.task is Task.IMAGE_TO_VIDEO
    assert request.image == str(tmp_path / "good.png")


def test_one_frame_between_two_pictures_or_in_place_of_one_is_refused() -> None:
    with pytest.raises(InvalidFrames, match="at least 5 frames"):
        resolved(I2V_A14B, image=blank(64, 64), end_image=blank(64, 64), frames=1)
    with pytest.raises(InvalidFrames, match="at least 5 frames"):
        resolved(TI2V_5B, image=blank(64, 64), frames=1)
    assert resolved(I2V_A14B, image=blank(64, 64), frames=1).frames == 1
    assert resolved(TI2V_5B, frames=1).frames == 1


# --- length


@pytest.mark.parametrize(
    ("asked", "used"), [(1, 1), (2, 1), (3, 5), (4, 5), (5, 5), (6, 5), (7, 9), (80, 81), (161, 161)]
)
def test_frames_become_the_nearest_4n_plus_1(asked: int, used: int) -> None:
    request = resolved(frames=asked)
    assert request.frames == used
    assert changed(request) == ({} if asked == used else {"frames": (str(asked), str(used))})


@pytest.mark.parametrize("frames", [0, -1, 162, 10**9, 10**400, 81.0, NAN, "81", True])
def test_frames_out_of_range_are_refused_with_the_legal_ones(frames: object) -> None:
    with pytest.raises(InvalidFrames, match=r"1, 5, 9, \.\.\. up to 161"):
        resolved(frames=frames)


@pytest.mark.parametrize(
    ("spec", "seconds", "frames"), [(T2V_A14B, 5, 81), (TI2V_5B, 5.0, 121), (TI2V_5B, 10, 241), (T2V_A14B_DEMO, 2, 17)]
)
def test_seconds_give_the_usual_frames(spec: ModelSpec, seconds: float, frames: int) -> None:
    request = resolved(spec, seconds=seconds)
    assert request.frames == frames
    assert request.adjustments == ()


def test_odd_seconds_are_reported() -> None:
    request = resolved(seconds=1.2)
    assert request.frames == 21
    assert changed(request) == {"seconds": ("1.2", "1.3125 (21 frames)")}


@pytest.mark.parametrize("seconds", [0, 0.01, -1, 10.5, NAN, INF, 10**400, "5", True])
def test_seconds_out_of_range_are_refused(seconds: object) -> None:
    with pytest.raises(InvalidFrames, match=r"10\.0625 seconds at 16 a second"):
        resolved(seconds=seconds)


def test_frames_and_seconds_must_agree() -> None:
    assert resolved(frames=81, seconds=5).frames == 81
    with pytest.raises(InvalidRequest, match="81 frames and 3 seconds"):
        resolved(frames=81, seconds=3)


# --- sampling


def test_the_low_noise_guidance_follows_the_high_one_unless_it_is_given() -> None:
    def scales(**changes: Any) -> tuple[float, float]:
        request = resolved(**changes)
        return request.guidance_high, request.guidance_low

    assert scales() == (4.0, 3.0)
    assert scales(guidance=2) == (2.0, 2.0)
    assert scales(guidance_low=2) == (4.0, 2.0)
    assert scales(guidance=1, guidance_low=6.5) == (1.0, 6.5)


def test_the_step_cache_is_off_unless_it_is_asked_for() -> None:
    def threshold(asked: float | None) -> float | None:
        return resolved(T2V_A14B, step_cache=asked).step_cache

    assert [threshold(asked) for asked in (None, 0, 0.05, 1)] == [None, None, 0.05, 1.0]


def test_one_transformer_has_one_guidance() -> None:
    request = resolved(TI2V_5B, guidance=4.0, guidance_low=2.0)
    assert (request.guidance_high, request.guidance_low) == (4.0, 4.0)
    assert changed(request) == {"guidance_low": ("2.0", "4.0")}


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("steps", [0, -1, 1001, 10**400, 20.0, NAN, "20", True]),
        ("guidance", [-0.1, 101, NAN, INF, -INF, 10**400, "4", True]),
        ("guidance_low", [-0.1, 101, NAN, INF, "4", True]),
        ("step_cache", [-0.1, 1.01, NAN, INF, "0.05", True]),
        ("shift", [0, -5, 101, NAN, INF, "5", True]),
        ("seed", [-1, 2**63, 10**5000, 7.0, NAN, "7", True]),
        ("solver", ["ddim", 7, ""]),
        ("sigmas", [(), (0.0,), (1.5, 0.5), (0.5, 0.6), (1.0, NAN), ("1",), (True,), 0.5, "1", (0.5,) * 2000]),
    ],
)
def test_numbers_out_of_range_are_refused(field: str, values: list[object]) -> None:
    for value in values:
        with pytest.raises(InvalidRequest, match=field):
            resolved(T2V_A14B, **{field: value})


def test_numbers_of_other_kinds_are_taken_for_what_they_are() -> None:
    request = resolved(
        frames=np.int64(81), guidance=Fraction(7, 2), shift=np.float32(5), seed=np.uint64(7), width=np.int32(832)
    )
    assert (request.frames, request.guidance_high, request.shift, request.seed) == (81, 3.5, 5.0, 7)
    assert all(type(value) in (int, float) for value in (request.frames, request.guidance_high, request.seed))


def test_a_solver_may_be_named() -> None:
    assert resolved(solver="dpm++").solver is Solver.DPMPP
    assert resolved(solver=Solver.EULER).solver is Solver.EULER


def test_the_limits_of_shift_and_step_cache_are_those_of_the_model() -> None:
    strict = replace(T2V_A14B, limits=replace(T2V_A14B.limits, min_shift=1, max_shift=20, max_step_cache=0.5))
    assert resolved(strict, shift=20, step_cache=0.5).shift == 20
    for wrong, legal in (({"shift": 21}, "1 to 20"), ({"shift": 0.5}, "1 to 20"), ({"step_cache": 0.6}, "to 0.5")):
        with pytest.raises(InvalidRequest, match=legal):
            resolved(strict, **wrong)


def test_noise_levels_take_the_place_of_steps_and_shift() -> None:
    request = resolved(sigmas=[1, 0.75, 0.5, 0.25, 0], steps=40, shift=3)
    assert (request.steps, request.sigmas) == (4, (1.0, 0.75, 0.5, 0.25, 0.0))
    assert changed(request) == {"steps": ("40", "4"), "shift": ("3", "none")}
    assert resolved(sigmas=(1.0, 0.5)).adjustments == ()


def test_the_noise_levels_of_a_preset_give_way_to_steps_and_shift() -> None:
    usual = resolved(T2V_A14B_LIGHTNING, seed=7)
    assert (usual.steps, usual.sigmas) == (4, (1.0, 0.9375, 5 / 6, 0.625))
    assert resolved(T2V_A14B_LIGHTNING, steps=4, shift=5, seed=7) == usual
    assert (resolved(T2V_A14B_LIGHTNING, steps=8).steps, resolved(T2V_A14B_LIGHTNING, steps=8).sigmas) == (8, None)
    assert resolved(T2V_A14B_LIGHTNING, shift=3).sigmas is None


def test_a_seed_is_kept_or_drawn() -> None:
    assert resolved(seed=0).seed == 0
    assert resolved(seed=MAX_SEED).seed == MAX_SEED
    drawn = {resolved().seed for _ in range(20)}
    assert len(drawn) > 15
    assert all(0 <= seed <= MAX_SEED for seed in drawn)


@given(
    spec=st.sampled_from([spec for spec in MODELS if not spec.requires_image]),
    width=st.none() | st.integers(64, 5000),
    height=st.none() | st.integers(64, 5000),
    frames=st.none() | st.integers(1, 33),
    steps=st.none() | st.integers(1, 200),
    guidance=st.none() | st.floats(0, 100),
    shift=st.none() | st.floats(0.5, 20),
    solver=st.none() | st.sampled_from(Solver),
    seed=st.integers(0, MAX_SEED),
)
def test_what_is_resolved_is_legal_and_stays_as_it_is(spec: ModelSpec, seed: int, **asked: Any) -> None:
    try:
        request = resolved(spec, seed=seed, **asked)
    except InvalidSize:
        return
    limits = spec.limits
    assert request.width % limits.size_multiple == request.height % limits.size_multiple == 0
    assert request.width * request.height <= limits.max_area
    assert request.frames % 4 == 1
    assert request.frames <= limits.max_frames
    fields = ("width", "height", "frames", "steps", "shift", "solver", "seed")
    again = resolved(
        spec,
        guidance=request.guidance_high,
        guidance_low=request.guidance_low,
        **{field: getattr(request, field) for field in fields},
    )
    assert again == replace(request, adjustments=())


@given(
    field=st.sampled_from(["width", "height", "frames", "steps", "guidance", "shift", "seed", "seconds", "solver"]),
    value=st.one_of(st.integers(), st.floats(), st.text(max_size=5), st.booleans(), st.binary(max_size=3)),
)
def test_any_value_is_resolved_or_refused(field: str, value: object) -> None:
    try:
        request = resolved(T2V_A14B, **{field: value})
    except InvalidRequest:
        return
    assert isinstance(request, ResolvedRequest)
    assert all(isinstance(change, Adjustment) for change in request.adjustments)
