"""What may be missing: modules import without the libraries that they do not, or only sometimes, need."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src"
NEED_TRITON = {
    "wanvideo.kernels.vae_triton",
    "wanvideo.weights.gguf_kernels",
}  # which is not everywhere
RUN_BY_OTHERS = {"wanvideo.jobs.migrations.env"}  # by Alembic, which gives it what it works on
MODULES = sorted(
    {
        ".".join(path.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__")
        for path in (SRC / "wanvideo").rglob("*.py")
    }
    - NEED_TRITON
    - RUN_BY_OTHERS
)

ENGINE = ("torch", "safetensors", "tokenizers", "ftfy", "av")  # the extra of that name
REFERENCES = ("diffusers", "transformers", "gguf", "huggingface_hub")  # used by tests alone

LIGHT = (
    "wanvideo",
    "wanvideo.errors",
    "wanvideo.request",
    "wanvideo.models.config",
    "wanvideo.weights.catalog",
    "wanvideo.weights.pick",
    "wanvideo.weights.headers",
    "wanvideo.weights.download.process",
    "wanvideo.weights.download.health",
    "wanvideo.weights.download.removal",
    "wanvideo.weights.lora.file",
    "wanvideo.weights.lora.hub",
    "wanvideo.weights.lora.library",
    "wanvideo.runtime.vae_memory",
    "wanvideo.pipelines.adapt",
    "wanvideo.pipelines.write",
    "wanvideo.runtime.calibration",
    "wanvideo.runtime.hardware",
    "wanvideo.runtime.monitor",
    "wanvideo.runtime.plan",
    *(
        name
        for name in MODULES
        if name.startswith(
            (
                "wanvideo.media",
                "wanvideo.cli",
                "wanvideo.families",
                "wanvideo.testing",
                "wanvideo.jobs",
                "wanvideo.server",
                "wanvideo.client",
            )
        )
    ),
)

IMPORT_WITHOUT = """
import importlib, sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

missing, modules = (argument.split(",") for argument in sys.argv[1:])
sys.meta_path.insert(0, Missing())
for module in modules:
    importlib.import_module(module)
"""


def import_without(missing: tuple[str, ...], *modules: str) -> subprocess.CompletedProcess[str]:
    """Import `modules` in a new interpreter that does not find the packages `missing`."""
    command = [sys.executable, "-W", "error", "-c", IMPORT_WITHOUT, ",".join(missing), ",".join(modules)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_blocker_blocks() -> None:
    done = import_without(("json",), "json")
    assert "No module named 'json'" in done.stderr


def test_light_modules_import_with_the_base_install_alone() -> None:
    done = import_without(ENGINE + REFERENCES, *LIGHT)
    assert done.returncode == 0, done.stderr


def test_every_module_imports_without_pyav_and_the_reference_implementations() -> None:
    done = import_without(("av", *REFERENCES), *MODULES)
    assert done.returncode == 0, done.stderr


POSIX = ("fcntl", "resource", "termios", "pwd", "grp")  # modules that Windows has not


def without_posix(
    tmp_path: Path, *arguments: str, missing: Sequence[str] = POSIX
) -> "subprocess.CompletedProcess[str]":
    """The command line where those modules are missing."""
    code = f"""if True:
        import sys, warnings
        sys.modules.update(dict.fromkeys({tuple(missing)}))
        warnings.simplefilter("ignore")
        from wanvideo.cli.main import main
        sys.exit(main({list(arguments)}))
    """
    environment = {**os.environ, "XDG_DATA_HOME": str(tmp_path), "HF_HOME": str(tmp_path)}
    environment.pop("WANVIDEO_URL", None)
    return subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip


def test_videos_are_made_without_posix(tmp_path: Path) -> None:
    words = ("--model", "t2v-A14B-demo", "--steps", "1", "--frames", "5", "--out", "x.mp4")
    made = without_posix(tmp_path, "generate", "a red circle", *words)
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "x.mp4").stat().st_size > 0


@pytest.mark.parametrize("command", [["models"], ["plan", "t2v-A14B-demo"], ["lora"], ["info", "t2v-A14B-demo"]])
def test_questions_are_answered_without_posix(tmp_path: Path, command: list[str]) -> None:
    asked = without_posix(tmp_path, *command)
    assert asked.returncode == 0, asked.stderr


@pytest.mark.parametrize(("command", "said"), [(["serve", "--port", "0"], "WSL2"), (["queue"], "wan serve")])
def test_what_needs_posix_says_so(tmp_path: Path, command: list[str], said: str) -> None:
    missing = [name for name in POSIX if name != "resource"]  # which psutil needs on Linux
    asked = without_posix(tmp_path, *command, missing=missing)
    assert (asked.returncode, said in asked.stderr) == (1, True), asked.stderr
