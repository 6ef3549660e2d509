"""What may be missing: modules import without the libraries that they do not, or only sometimes, need."""

import subprocess
import sys
from pathlib import Path

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
