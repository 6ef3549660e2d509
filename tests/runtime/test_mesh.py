"""Who works with whom."""

from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from wanvideo.runtime.mesh import Mesh, mesh_for, shares


@given(count=st.integers(0, 5000), parts=st.integers(1, 16), unit=st.sampled_from([1, 32]))
def test_shares_are_whole_and_as_even_as_units_allow(count: int, parts: int, unit: int) -> None:
    found = shares(count, parts, unit=unit)
    assert sum(found) == count
    assert len(found) == parts
    assert max(found) - min(found) <= 2 * unit
    assert min(found) >= 0
    assert list(found) == sorted(found, reverse=True)


def test_all_shares_but_the_last_are_whole_units() -> None:
    assert shares(105, 3, unit=32) == (64, 32, 9)
    assert shares(95, 3, unit=32) == (32, 32, 31)


@given(size=st.integers(1, 16), guided=st.booleans())
def test_every_rank_is_in_one_team_and_meets_its_like_in_the_others(size: int, guided: bool) -> None:
    mesh = mesh_for(size, guided=guided)
    assert sorted(chain.from_iterable(mesh.teams)) == list(range(size))
    assert sorted(chain.from_iterable(mesh.counterparts)) == list(range(size))
    for branch, team in enumerate(mesh.teams):
        assert {mesh.branch(rank) for rank in team} == {branch}
        assert all(len(set(team) & set(others)) == 1 for others in mesh.counterparts)


def test_guidance_is_outermost_and_needs_an_even_number() -> None:
    assert mesh_for(4, guided=True) == Mesh(4, 2)
    assert mesh_for(4, guided=True).teams == ((0, 1), (2, 3))
    assert mesh_for(3, guided=True).branches == mesh_for(4, guided=False).branches == 1
