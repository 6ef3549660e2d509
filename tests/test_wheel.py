"""What the package holds when it is built: the web app, built by Node if it was not built before."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
APP = "wanvideo/server/static"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The sources without the models and the app."""
    tree = tmp_path / "checkout"
    leave_out = shutil.ignore_patterns("demo", "static", "__pycache__")
    shutil.copytree(ROOT / "src", tree / "src", ignore=leave_out)
    shutil.copytree(ROOT / "scripts", tree / "scripts", ignore=leave_out)
    (tree / "web").mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree / name)
    return tree


def wheel(checkout: Path, path: str) -> list[str]:
    """The names of the files in the wheel, built with these programs at hand."""
    out = checkout.parent / "dist"
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)],
        cwd=checkout,
        env={**os.environ, "PATH": path},
        check=True,
        capture_output=True,
    )
    (built,) = out.iterdir()
    with zipfile.ZipFile(built) as file:
        return file.namelist()


def put(checkout: Path) -> None:
    assets = checkout / "src" / APP / "assets"
    assets.mkdir(parents=True)
    (assets / "app-1a2b.js").touch()
    (assets.parent / "index.html").touch()


def test_an_app_that_was_built_is_in_the_wheel(checkout: Path) -> None:
    put(checkout)
    assert {f"{APP}/index.html", f"{APP}/assets/app-1a2b.js"} <= set(wheel(checkout, os.devnull))


def test_a_node_that_is_too_old_leaves_the_app_out(checkout: Path) -> None:
    programs = checkout.parent / "bin"
    programs.mkdir()
    for name, does in {"npm": "exit 1", "node": "echo v18.20.4"}.items():
        (programs / name).write_text(f"#!/bin/sh\n{does}\n")
        (programs / name).chmod(0o755)
    assert not any(name.startswith(f"{APP}/") for name in wheel(checkout, str(programs)))


def test_node_builds_the_app_if_it_was_not_built(checkout: Path) -> None:
    npm = checkout.parent / "bin" / "npm"
    npm.parent.mkdir()
    static = checkout / "src" / APP
    npm.write_text(f'#!/bin/sh\n[ "$4" = build ] || exit 0\n/bin/mkdir -p {static} && : > {static}/index.html\n')
    npm.chmod(0o755)
    assert f"{APP}/index.html" in wheel(checkout, str(npm.parent))


def test_without_node_the_wheel_has_the_api_alone(checkout: Path) -> None:
    names = wheel(checkout, os.devnull)
    assert "wanvideo/server/static.py" in names
    assert not any(name.startswith(f"{APP}/") for name in names)
