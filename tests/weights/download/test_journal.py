"""A journal says of a file only what is true: after a crash, and after a power failure."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wanvideo.weights.download.disk import Disk
from wanvideo.weights.download.journal import Journal, arrived

DIGEST = "d" * 64


def opened(folder: Path, *, boot: str = "today", **changes: Any) -> Journal:
    what: dict[str, Any] = {
        "disk": Disk(),
        "digest": DIGEST,
        "nbytes": 1000,
        "segment_bytes": 300,
        "boot": boot,
    } | changes
    return Journal.open(folder / "journal", **what)


def test_segments_cover_the_file(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        assert [(segment.start, segment.end) for segment in journal.segments] == [
            (0, 300),
            (300, 600),
            (600, 900),
            (900, 1000),
        ]


def test_after_a_crash_everything_that_was_written_is_believed(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        journal.advance(journal.segments[1], 7)
        journal.advance(journal.segments[0], 300)
    with opened(tmp_path) as journal:
        assert journal.written == [300, 7, 0, 0]
        assert journal.front == 307
        assert journal.reach == 307


def test_after_a_power_failure_only_what_was_synced_is_believed(tmp_path: Path) -> None:
    data = Disk().open(tmp_path / "part")
    with opened(tmp_path) as journal:
        journal.advance(journal.segments[0], 100)
        journal.commit(data)
        journal.advance(journal.segments[0], 200)
    with opened(tmp_path, boot="tomorrow") as journal:
        assert journal.written == [100, 0, 0, 0]


def test_a_system_that_does_not_say_when_it_was_started_gets_no_trust(tmp_path: Path) -> None:
    with opened(tmp_path, boot="") as journal:
        journal.advance(journal.segments[0], 100)
    with opened(tmp_path, boot="") as journal:
        assert journal.arrived == 0


def test_resuming_after_a_crash_does_not_turn_written_into_synced(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        journal.advance(journal.segments[0], 100)
    with opened(tmp_path):
        pass
    with opened(tmp_path, boot="tomorrow") as journal:
        assert journal.arrived == 0


@pytest.mark.parametrize("change", [{"digest": "e" * 64}, {"nbytes": 999}])
def test_a_journal_of_another_file_is_none(tmp_path: Path, change: dict[str, Any]) -> None:
    with opened(tmp_path) as journal:
        journal.advance(journal.segments[0], 100)
    with opened(tmp_path, **change) as journal:
        assert journal.arrived == 0


def test_segments_keep_the_length_that_they_were_begun_with(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        journal.advance(journal.segments[3], 100)
    with opened(tmp_path, segment_bytes=50) as journal:
        assert journal.written == [0, 0, 0, 100]


@given(damage=st.binary(max_size=700), at=st.integers(0, 600))
def test_whatever_is_in_the_file_no_more_is_claimed_than_the_file_has(
    tmp_path_factory: pytest.TempPathFactory, damage: bytes, at: int
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    with opened(folder) as journal:
        journal.advance(journal.segments[2], 300)
    whole = (folder / "journal").read_bytes()
    (folder / "journal").write_bytes(whole[:at] + damage + whole[at + len(damage) :])
    with opened(folder) as journal:
        assert all(0 <= journal.written[segment.index] <= segment.nbytes for segment in journal.segments)


def test_a_look_changes_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        journal.advance(journal.segments[0], 100)
    before = (tmp_path / "journal").read_bytes()
    assert arrived(tmp_path / "journal", digest=DIGEST, nbytes=1000, boot="today") == 100
    assert arrived(tmp_path / "none", digest=DIGEST, nbytes=1000, boot="today") == 0
    assert (tmp_path / "journal").read_bytes() == before
