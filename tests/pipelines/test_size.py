"""Size rules, against the tables that the official code gives."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wanvideo.errors import InvalidSize
from wanvideo.pipelines.size import Size, best_size, covering, floored_size, is_rounded, nearest_legal
from wanvideo.weights.catalog import MODELS, T2V_A14B, TI2V_5B, Limits, ModelSpec

A14B, TI2V = T2V_A14B.limits, TI2V_5B.limits
LIMITS = [spec.limits for spec in MODELS]

sides = st.integers(16, 4000)


@pytest.mark.parametrize(
    ("asked", "used"),
    [
        ((832, 480), (832, 480)),
        ((854, 480), (848, 480)),
        ((480, 854), (480, 848)),
        ((1280, 720), (1280, 720)),
        ((1920, 1080), (1280, 720)),
        ((1080, 1920), (720, 1280)),
        ((4096, 4096), (960, 960)),
        ((72, 88), (80, 96)),  # ties go up
        ((64, 64), (64, 64)),
    ],
)
def test_a_size_becomes_the_nearest_legal_one(asked: tuple[int, int], used: tuple[int, int]) -> None:
    assert nearest_legal(Size(*asked), A14B) == used


@pytest.mark.parametrize(
    ("asked", "used"), [((1280, 720), (1280, 704)), ((720, 1280), (704, 1280)), ((1250, 720), (1248, 704))]
)
def test_the_5b_model_has_multiples_of_32_and_a_smaller_area(asked: tuple[int, int], used: tuple[int, int]) -> None:
    assert nearest_legal(Size(*asked), TI2V) == used


def test_a_size_that_scales_down_to_a_sliver_is_refused() -> None:
    with pytest.raises(InvalidSize, match="is too small: width and height are multiples of 16 from 64"):
        nearest_legal(Size(16000, 60), A14B)


@given(st.builds(Size, st.integers(64, 16384), st.integers(64, 16384)), st.sampled_from(LIMITS))
def test_the_result_is_legal_near_and_stays(asked: Size, limits: Limits) -> None:
    try:
        used = nearest_legal(asked, limits)
    except InvalidSize:
        assert max(asked) > 2 * min(asked)  # only slivers
        return
    assert used.width % limits.size_multiple == used.height % limits.size_multiple == 0
    assert min(used) >= limits.min_side
    assert used.area <= limits.max_area
    scale = min(1, math.sqrt(limits.max_area / asked.area))
    assert all(abs(a - b * scale) < limits.size_multiple for a, b in zip(used, asked, strict=True))
    assert nearest_legal(used, limits) == used


@pytest.mark.parametrize(
    ("image", "size"),
    [
        ((1024, 1024), (960, 960)),
        ((1000, 750), (1104, 816)),
        ((2000, 3000), (768, 1168)),
        ((832, 480), (1248, 720)),
        ((1280, 720), (1280, 720)),
    ],
)
def test_i2v_sizes_at_720p_are_the_official_ones(image: tuple[int, int], size: tuple[int, int]) -> None:
    assert floored_size(Size(*image), 1280 * 720, A14B) == size


@pytest.mark.parametrize("image", [(832, 480), (480, 832), (416, 240), (1664, 960)])
def test_the_float_trap_of_the_official_code_is_not_there(image: tuple[int, int]) -> None:
    height = math.sqrt(480 * 832 * image[1] / image[0])
    official = height // 16 * 16  # 464 for 832x480
    size = floored_size(Size(*image), 832 * 480, A14B)
    assert sorted(size) == [480, 832]
    assert official <= size.height


@pytest.mark.parametrize(
    ("image", "size"),
    [
        ((1280, 704), (1280, 704)),
        ((1280, 720), (1248, 704)),
        ((1920, 1080), (1248, 704)),
        ((832, 480), (1248, 704)),
        ((16, 9), (1248, 704)),
        ((720, 1280), (704, 1248)),
        ((1024, 1024), (960, 928)),
        ((1000, 750), (1088, 800)),
        ((2000, 3000), (768, 1152)),
    ],
)
def test_ti2v_sizes_are_the_official_ones(image: tuple[int, int], size: tuple[int, int]) -> None:
    assert best_size(Size(*image), 1280 * 704, TI2V) == size


@given(st.builds(Size, sides, sides), st.sampled_from(MODELS))
def test_a_size_made_from_a_picture_is_legal(image: Size, spec: ModelSpec) -> None:
    area = spec.defaults.width * spec.defaults.height
    for rule in (floored_size, best_size):
        size = rule(image, area, spec.limits)
        assert size == nearest_legal(size, spec.limits)
        assert size.area <= area


@given(st.builds(Size, st.integers(300, 3000), st.integers(300, 3000)))
def test_a_size_made_from_a_picture_has_its_shape(image: Size) -> None:
    assert is_rounded(floored_size(image, 832 * 480, A14B), image, A14B.size_multiple)


def test_other_shapes_are_told_apart() -> None:
    assert is_rounded(Size(832, 480), Size(1280, 720), 16)
    assert not is_rounded(Size(832, 480), Size(480, 832), 16)
    assert not is_rounded(Size(832, 480), Size(640, 480), 16)


@given(st.builds(Size, sides, sides), st.builds(Size, sides, sides))
def test_what_covers_covers_and_touches(image: Size, target: Size) -> None:
    cover = covering(image, target)
    assert cover.width >= target.width
    assert cover.height >= target.height
    assert cover.width == target.width or cover.height == target.height
