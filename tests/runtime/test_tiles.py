"""Where a picture is cut."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wanvideo.runtime.tiles import OVERLAP, Tiling, smaller, tile_starts, tilings

sides = st.integers(4, 90).map(lambda cells: 16 * cells)


@given(st.integers(1, 60), st.integers(1, 20), st.data())
def test_tiles_cover_an_axis_evenly_and_share_what_they_should(length: int, tile: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, tile - 1))
    starts = tile_starts(length, tile, overlap)
    steps = [after - before for before, after in itertools.pairwise(starts)]
    assert starts[0] == 0
    assert starts[-1] == max(0, length - tile)
    assert all(0 < step <= tile - overlap for step in steps)
    assert max(steps, default=0) - min(steps, default=0) <= 1


@pytest.mark.parametrize(("tile", "overlap"), [(8, 8), (8, -1), (0, 0)])
def test_tiles_that_leave_gaps_are_refused(tile: int, overlap: int) -> None:
    with pytest.raises(ValueError, match="do not cover"):
        tile_starts(20, tile, overlap)


@given(sides, sides, st.sampled_from([8, 16]))
def test_pictures_are_cut_with_the_least_work_first(height: int, width: int, cell: int) -> None:
    cuts = tilings(height, width, cell)
    works = [cut.work(height, width) for cut in cuts]
    assert works == sorted(works)
    for cut in cuts:
        assert cut.count(height, width) > 1
        assert cut.overlap == OVERLAP
        assert cut.height % cell == cut.width % cell == 0
        assert 1 < cut.work(height, width) < 4


@given(sides, sides, st.sampled_from([8, 16]))
def test_what_is_tried_when_memory_runs_out_needs_less_and_less(height: int, width: int, cell: int) -> None:
    areas = [height * width, *(cut.height * cut.width for cut in smaller(height, width, cell, None))]
    assert all(3 * after <= 2 * before for before, after in itertools.pairwise(areas))
    if max(height, width) >= 3 * OVERLAP:
        assert len(areas) > 1


def test_smaller_tiles_than_those_that_failed_are_tried() -> None:
    first, *_ = failed = list(smaller(720, 1280, 8, None))
    assert list(smaller(720, 1280, 8, first)) == failed[1:]


def test_a_square_has_whole_cells_and_shares_a_quarter_but_not_more_than_is_usual() -> None:
    assert Tiling.square(256, 8) == Tiling(height=256, width=256, overlap=64, cell=8)
    assert Tiling.square(100, 16) == Tiling(height=96, width=96, overlap=32, cell=16)
    assert Tiling.square(1024, 8).overlap == OVERLAP
    assert str(Tiling(height=720, width=472, overlap=64, cell=8)) == "472x720"
