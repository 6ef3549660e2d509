"""A family of another package: installed, found by its entry point, checked, listed and used."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from toy_family import FAMILY
from wanvideo.media.info import read_settings
from wanvideo.testing import conformance

ROOT = Path(__file__).parents[2]

test_conformance = conformance(FAMILY)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that pip installed the example into, from a wheel built here and now, without a network."""
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-index"]
    options = ["--no-deps", "--no-build-isolation", "--target", str(folder)]
    # Built from a copy, so that nothing is left beside the source.
    source = tmp_path_factory.mktemp("source") / "toy_family"
    shutil.copytree(ROOT / "examples" / "toy_family", source, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    subprocess.run([*pip, *options, str(source)], check=True)
    return folder


def wan(installed: Path, folder: Path, *arguments: str) -> str:
    """What `wan` prints in a new interpreter that finds the installed family, not its source."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("WAN_", "HF_"))}
    environment |= {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(installed)]), "HF_HOME": str(folder)}
    code = "import sys; from wanvideo.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


def test_the_installed_family_is_listed_with_ours(installed: Path, tmp_path: Path) -> None:
    events = [json.loads(line) for line in wan(installed, tmp_path, "models", "--json").splitlines()]
    listed = {event["id"]: (event["family"], event["state"]) for event in events}
    assert listed["toy-plasma"] == ("toy", "ready")
    assert listed["t2v-A14B-demo"] == ("wan", "ready")


def test_a_video_is_made_with_the_installed_family_by_any_of_its_names(installed: Path, tmp_path: Path) -> None:
    options = ("--model", "Toy Plasma", "--size", "64x64", "--frames", "9", "--seed", "7", "--out", "plasma.mp4")
    wan(installed, tmp_path, "generate", "warm slow waves", *options)
    info = read_settings(tmp_path / "plasma.mp4")
    assert (info.width, info.height, info.frames, info.fps) == (64, 64, 9, 24)
    assert info.settings is not None
    params = info.settings["params"]
    assert isinstance(params, dict)
    assert (params["model"], params["prompt"]) == ("toy-plasma", "warm slow waves")
