import builtins
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

from wanvideo.errors import EncodeFailed, OutputNotWritable
from wanvideo.media.output import STILL_SUFFIXES, check_writable, publish


def refused(path: str | Path, frames: int | None = None) -> str:
    with pytest.raises(OutputNotWritable) as caught:
        check_writable(path, frames=frames)
    return caught.value.message


@pytest.mark.parametrize("name", ["a.mp4", "A.MP4", "b.png", "c.jpg", "d.jpeg", "e.webp"])
def test_legal_names_pass_and_leave_nothing_behind(tmp_path: Path, name: str) -> None:
    check_writable(tmp_path / name, frames=1)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"older")
    check_writable(str(tmp_path / "a.mp4"))
    assert (tmp_path / "a.mp4").read_bytes() == b"older"


@pytest.mark.parametrize("name", ["a.gif", "a.avi", "a", ".mp4", "a.mp4.txt"])
def test_other_endings_are_refused_with_the_legal_ones(tmp_path: Path, name: str) -> None:
    assert "name it .mp4" in refused(tmp_path / name)


def test_a_picture_of_many_frames_is_refused(tmp_path: Path) -> None:
    check_writable(tmp_path / "a.png", frames=None)
    assert "there are 17 frames" in refused(tmp_path / "a.png", frames=17)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    assert f"no folder {tmp_path / 'clips'}" in refused(tmp_path / "clips" / "a.mp4")
    (tmp_path / "file").touch()
    assert "no folder" in refused(tmp_path / "file" / "a.mp4")


def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").mkdir()
    assert "is a folder" in refused(tmp_path)
    assert "is a folder" in refused(tmp_path / "a.mp4")


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.mp4")
    assert "pipe" in refused(tmp_path / "a.mp4")


@pytest.mark.parametrize("name", ["a\0.mp4", "x" * 300 + ".mp4"])
def test_names_that_no_file_can_have_are_refused(tmp_path: Path, name: str) -> None:
    assert "another name" in refused(tmp_path / name)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs /proc")
def test_a_folder_that_takes_no_files_is_found_by_trying() -> None:
    """Nobody can create files in /proc, whoever they are; permission bits would have said otherwise to root."""
    assert "cannot be written" in refused("/proc/self/a.mp4")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert "Permission denied" in refused(tmp_path / "a.mp4")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_write_protected_file_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch(0o400)
    assert "write-protected" in refused(tmp_path / "a.mp4")


def test_a_missing_encoder_is_found_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def without_av(name: str, *arguments: Any) -> Any:
        if name.split(".")[0] == "av":
            raise ImportError("No module named 'av'")
        return original(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without_av)
    with pytest.raises(EncodeFailed, match="pip install"):
        check_writable(tmp_path / "a.mp4")
    check_writable(tmp_path / "a.png")  # a picture needs no PyAV


def test_a_published_file_appears_whole_with_ordinary_permissions(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"older")
    with publish(path, STILL_SUFFIXES) as part:
        part.write_bytes(b"newer")
        assert part.parent == tmp_path
        assert path.read_bytes() == b"older"
    assert path.read_bytes() == b"newer"
    assert list(tmp_path.iterdir()) == [path]
    (tmp_path / "plain").touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_whatever_goes_wrong_leaves_the_older_file_alone(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"older")

    def fail_half_way() -> None:
        with publish(path, STILL_SUFFIXES) as part:
            part.write_bytes(b"half")
            raise error

    with pytest.raises(error):
        fail_half_way()
    assert path.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_vanishes_meanwhile_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    with pytest.raises(OutputNotWritable, match="No such file"), publish(tmp_path / "clips" / "a.png", STILL_SUFFIXES):
        shutil.rmtree(tmp_path / "clips")
