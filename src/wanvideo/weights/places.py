"""Where models are looked for. No torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

DEMO_FOLDER: Final = Path(__file__).parent.parent / "demo"
MODEL_INDEX: Final = "model_index.json"  # what makes a folder a model in the Diffusers layout


class Role(StrEnum):
    """What a transformer is in its model."""

    HIGH = "high"  # the high-noise expert of two
    LOW = "low"  # the low-noise expert of two
    ONLY = "only"


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """A file or folder that the user registered where it lies."""

    path: Path
    role: Role | None = None  # of a transformer whose name does not tell


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where installed models are looked for."""

    roots: tuple[Path, ...] = ()  # folders that hold models: one folder each, or files as ComfyUI sorts them
    hub_cache: Path | None = None  # of the Hugging Face hub
    demo: Path = DEMO_FOLDER
    added: tuple[Added, ...] = ()
    registry: Path | None = None  # a file that names more of them; read each time, since it may grow meanwhile


def hub_cache(environment: Mapping[str, str], home: Path) -> Path:
    """Where the Hugging Face hub keeps its downloads. Source: huggingface_hub, environment variables."""
    if explicit := environment.get("HF_HUB_CACHE") or environment.get("HUGGINGFACE_HUB_CACHE"):
        return Path(explicit).expanduser()
    if hf_home := environment.get("HF_HOME"):
        return Path(hf_home).expanduser() / "hub"
    cache = environment.get("XDG_CACHE_HOME")
    return (Path(cache).expanduser() if cache else home / ".cache") / "huggingface" / "hub"


def repository(cache: Path, repo_id: str) -> Path:
    """Where the hub keeps a repository of models."""
    return cache / f"models--{repo_id.replace('/', '--')}"


def snapshots(repository: Path) -> list[Path]:
    """Revisions of one repository in the hub's cache: what `main` was last, then the newest."""
    try:
        main = (repository / "refs" / "main").read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        main = ""
    try:
        found = [path for path in (repository / "snapshots").iterdir() if path.is_dir()]
        return sorted(found, key=lambda path: (path.name == main, path.stat().st_mtime), reverse=True)
    except OSError:
        return []
