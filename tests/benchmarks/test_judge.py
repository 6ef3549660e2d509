"""The judge reads drawn clips without error, and does not guess where there is nothing to read."""

import subprocess
import sys
from dataclasses import replace
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from benchmarks.judge.draw import Placement, draw, place
from benchmarks.judge.judge import Reading, judge, psnr, score
from benchmarks.judge.scene import ATTRIBUTES, BACKGROUNDS, COLOURS, MOTIONS, SHAPES, SIZES, Scene
from training.demo import captions, world

Frames: TypeAlias = NDArray[np.uint8]

REPOSITORY = Path(__file__).parents[2]

# Every look with one motion each, and every motion many times.
SCENES = [
    Scene(size=size, colour=colour, shape=shape, motion=MOTIONS[(i + i // 7) % 7], background=background)
    for i, (size, colour, shape, background) in enumerate(product(SIZES, COLOURS, SHAPES, BACKGROUNDS))
]
SOME = SCENES[::6]
RED_CIRCLE = Scene(size="large", colour="red", shape="circle", motion="stays still", background="black")
PERFECT = dict.fromkeys((*ATTRIBUTES, "all"), 1.0)


def drawn(scenes: list[Scene]) -> list[Frames]:
    rng = np.random.default_rng(5)
    return [draw(scene, place(scene, rng)) for scene in scenes]


def test_clips_of_every_look_are_read_without_error() -> None:
    assert len(SCENES) == 168
    assert score([judge(clip) for clip in drawn(SCENES)], SCENES) == PERFECT


@pytest.mark.parametrize("crossing", [0.0, 1.0])
def test_clips_of_the_training_world_are_read_without_error(crossing: float) -> None:
    labels = torch.tensor([captions.Scene(*words(scene)).labels for scene in SCENES[round(crossing) :: 2]])
    clips, _ = world.sample_clips(
        len(labels), generator=torch.Generator().manual_seed(1), labels=labels, crossing=crossing
    )
    pixels = ((clips + 1) * 127.5).round().byte().permute(0, 2, 3, 4, 1).numpy()
    assert score([judge(clip) for clip in pixels], SCENES[round(crossing) :: 2]) == PERFECT


def test_clips_that_went_through_h264_are_read_without_error() -> None:
    assert score([judge(compressed(clip)) for clip in drawn(SOME)], SOME) == PERFECT


def test_blurred_and_noisy_clips_are_read_without_error() -> None:
    rng = np.random.default_rng(6)
    clips = [blurred(clip) + rng.normal(0, 10, clip.shape) for clip in drawn(SOME)]
    assert score([judge(np.clip(clip, 0, 255).astype(np.uint8)) for clip in clips], SOME) == PERFECT


def test_larger_frames_are_read_too() -> None:
    clip = draw(RED_CIRCLE, Placement((0.5, 0.5, 0.4), (0.5, 0.5, 0.4)), frames=9, size=320)
    assert score([judge(clip)], [RED_CIRCLE]) == PERFECT


def test_the_judge_and_the_training_world_speak_the_same_captions() -> None:
    assert all(scene.caption == captions.caption(captions.Scene(*words(scene))) for scene in SCENES)
    assert (COLOURS, BACKGROUNDS) == (captions.COLOURS, captions.BACKGROUNDS)
    assert (SIZES, SHAPES, MOTIONS) == (captions.SIZES, captions.SHAPES, captions.MOTIONS)


def test_the_judge_knows_neither_the_product_nor_its_training() -> None:
    code = "import sys, benchmarks.judge.judge, benchmarks.judge.draw; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert not {"wanvideo", "training", "torch"} & set(run.stdout.split())


def test_noise_is_read_as_nothing() -> None:
    noise = np.random.default_rng(7).integers(0, 256, (17, 128, 128, 3), dtype=np.uint8)
    assert judge(noise) == Reading(background=None)


def test_an_empty_clip_is_read_as_its_background_alone() -> None:
    clip = np.full((17, 128, 128, 3), BACKGROUNDS["brown"], np.uint8)
    assert judge(clip) == Reading(background="brown")


def test_a_foreign_background_is_not_taken_for_one_of_ours() -> None:
    clip = drawn([RED_CIRCLE])[0]
    reading = judge(np.where(clip == 15, np.uint8(200), clip))
    assert reading.background is None


def test_a_foreign_colour_is_not_taken_for_one_of_ours() -> None:
    reading = judge(
        drawn([RED_CIRCLE])[0][..., ::-1] // np.array([1, 1, 2], np.uint8) + np.array([40, 90, 90], np.uint8)
    )
    assert reading.colour is None


def test_a_shape_of_two_colours_has_none() -> None:
    clip = still(RED_CIRCLE, 0.5, 0.5, 0.4)
    clip[:, :, :64] = still(replace(RED_CIRCLE, colour="green"), 0.5, 0.5, 0.4)[:, :, :64]
    assert judge(clip).colour is None


@pytest.mark.parametrize("other", [(0.75, 0.75, 0.4), (0.75, 0.3, 0.22), (0.3, 0.75, 0.4)])
def test_two_objects_are_not_a_shape(other: tuple[float, float, float]) -> None:
    clip = np.maximum(still(RED_CIRCLE, 0.28, 0.28, 0.4), still(RED_CIRCLE, *other))
    reading = judge(clip)
    assert (reading.shape, reading.size) == (None, None)


def test_a_cross_is_not_a_shape() -> None:
    clip = np.full((17, 128, 128, 3), BACKGROUNDS["black"], np.uint8)
    clip[:, 40:88, 56:72] = clip[:, 56:72, 40:88] = COLOURS["red"]
    reading = judge(clip)
    assert (reading.colour, reading.shape) == ("red", None)


def test_a_shape_of_no_known_size_has_none() -> None:
    assert judge(still(RED_CIRCLE, 0.5, 0.5, 0.6)).size is None


@pytest.mark.parametrize(
    ("last", "motion"),
    [
        ((0.58, 0.5, 0.4), "stays still"),
        ((0.5, 0.5, 0.46), "stays still"),
        ((0.70, 0.5, 0.4), "moves right"),
        ((0.67, 0.67, 0.4), None),
        ((0.70, 0.5, 0.2), None),
        ((0.5, 0.5, 0.2), "is shrinking"),
    ],
    ids=["slow drift", "slight growth", "along an axis", "oblique", "moving and shrinking", "shrinking"],
)
def test_a_motion_must_be_one_and_clear(last: tuple[float, float, float], motion: str | None) -> None:
    assert judge(draw(RED_CIRCLE, Placement((0.45, 0.5, 0.4), last))).motion == motion


def test_jumping_about_is_no_motion() -> None:
    clip = draw(RED_CIRCLE, Placement((0.3, 0.5, 0.4), (0.7, 0.5, 0.4)))
    assert judge(clip[np.random.default_rng(8).permutation(17)]).motion is None


def test_a_shape_that_vanishes_has_no_motion() -> None:
    clip = still(RED_CIRCLE, 0.5, 0.5, 0.4)
    clip[13:] = BACKGROUNDS["black"]
    assert judge(clip).motion is None


def test_a_still_image_has_all_but_a_motion() -> None:
    reading = judge(still(RED_CIRCLE, 0.5, 0.5, 0.4)[:1])
    assert (reading.background, reading.colour, reading.shape, reading.motion) == ("black", "red", "circle", None)


def test_another_scene_is_scored_wrong_where_it_differs() -> None:
    reading = judge(drawn([RED_CIRCLE])[0])
    shares = score([reading, reading], [RED_CIRCLE, replace(RED_CIRCLE, colour="orange", motion="is growing")])
    assert shares == PERFECT | {"colour": 0.5, "motion": 0.5, "all": 0.5}


def test_scores_need_a_reading_for_each_scene() -> None:
    with pytest.raises(ValueError, match="1 and 0"):
        score([Reading(background=None)], [])


@pytest.mark.parametrize("shape", [(17, 128, 128), (0, 128, 128, 3), (17, 128, 128, 4)])
def test_only_rgb_clips_are_judged(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="frames must be uint8"):
        judge(np.zeros(shape, np.uint8))


def test_psnr_is_that_of_the_mean_square_error() -> None:
    a = np.zeros((4, 4, 3), np.uint8)
    assert psnr(a, a + np.uint8(255)) == 0
    assert psnr(a, a + np.uint8(1)) == pytest.approx(48.13, abs=0.01)
    assert psnr(a, a) == float("inf")
    with pytest.raises(ValueError, match="one shape"):
        psnr(a, a[:2])


def words(scene: Scene) -> tuple[str, str, str, str, str]:
    return scene.size, scene.colour, scene.shape, scene.motion, scene.background


def still(scene: Scene, x: float, y: float, width: float) -> Frames:
    return draw(scene, Placement((x, y, width), (x, y, width)))


def blurred(clip: Frames) -> NDArray[np.float64]:
    """`clip` under a binomial filter with a standard deviation of 1.4 pixels."""
    pixels = clip.astype(np.float64)
    for axis in (1, 2) * 4:
        pixels = (np.roll(pixels, 1, axis) + 2 * pixels + np.roll(pixels, -1, axis)) / 4
    return pixels


def compressed(clip: Frames) -> Frames:
    """`clip` after a good H.264 encoding, as `wan generate` writes it."""
    import av

    file = BytesIO()
    with av.open(file, "w", format="mp4") as output:
        stream = output.add_stream("libx264", rate=8, options={"crf": "16"})
        stream.height, stream.width, stream.pix_fmt = *clip.shape[1:3], "yuv420p"
        for image in clip:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        output.mux(stream.encode())
    file.seek(0)
    with av.open(file, "r") as source:
        return np.stack([np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in source.decode(video=0)])
