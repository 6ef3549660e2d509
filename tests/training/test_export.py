"""The shipped demo models can be trained further, and come back as they were."""

import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from training.demo import export, restore
from wanvideo.weights.places import DEMO_FOLDER


def test_restoring_and_exporting_changes_no_tensor_and_no_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for program, source, target in (
        (restore, DEMO_FOLDER, tmp_path / "run"),
        (export, tmp_path / "run", tmp_path / "demo"),
    ):
        monkeypatch.setattr(sys, "argv", ["", str(source), str(target)])
        program.main()
    shipped = sorted(path.relative_to(DEMO_FOLDER) for path in DEMO_FOLDER.rglob("*") if path.is_file())
    shipped = [path for path in shipped if path.parts[0] != "loras"]  # made from these models, by another program
    assert shipped == sorted(p.relative_to(tmp_path / "demo") for p in (tmp_path / "demo").rglob("*") if p.is_file())
    for path in shipped:
        before, after = DEMO_FOLDER / path, tmp_path / "demo" / path
        if path.suffix == ".safetensors":
            tensors, again = load_file(before), load_file(after)
            assert tensors.keys() == again.keys()
            assert all(tensors[name].equal(again[name]) for name in tensors), path
        else:
            assert before.read_bytes() == after.read_bytes(), path


def test_all_demo_models_take_at_most_32_mib_and_no_file_15() -> None:
    sizes = [path.stat().st_size for path in DEMO_FOLDER.rglob("*") if path.is_file()]
    assert sum(sizes) <= 32 * 2**20
    assert max(sizes) <= 15 * 2**20
