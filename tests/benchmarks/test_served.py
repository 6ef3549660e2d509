"""What `benchmarks.speed.served` stands on."""

from pathlib import Path

import pytest

from benchmarks.speed.record import add_row
from benchmarks.speed.served import until, write_zeros
from wanvideo.weights.folder import open_folder, spec_of


def test_a_folder_of_zeros_is_the_model_of_full_size_and_takes_no_disk(tmp_path: Path) -> None:
    write_zeros(tmp_path / "model")
    folder = open_folder(tmp_path / "model")
    assert spec_of(folder).id == "ti2v-5B"
    assert folder.nbytes > 20e9
    assert sum(file.stat().st_blocks for file in (tmp_path / "model").rglob("*")) * 512 < 10e6


def test_what_never_comes_is_not_waited_for_for_ever() -> None:
    with pytest.raises(TimeoutError):
        until(lambda: None, seconds=0.05)


def test_rows_are_lines_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seconds in (1.23456, 2):
        add_row({"part": "cancel", "seconds": seconds}, tmp_path / "rows.jsonl")
    add_row({"part": "group"}, None)
    lines = ['{"part": "cancel", "seconds": 1.235}', '{"part": "cancel", "seconds": 2}', '{"part": "group"}']
    assert capsys.readouterr().out.splitlines() == lines
    assert (tmp_path / "rows.jsonl").read_text().splitlines() == lines[:2]
