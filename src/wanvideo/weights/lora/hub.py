"""LoRAs in repositories on the Hugging Face hub. No torch.

Files that are already in the hub's cache are used; getting others is the business of the downloader.
"""

import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from wanvideo.weights.variants import RemoteFiles

_REFERENCE: Final = re.compile(
    r"(?:https://huggingface\.co/)?(?P<repo>[\w.-]+/[\w.-]+)"
    r"(?:/(?:(?:blob|resolve|tree)/[\w.-]+/)?(?P<path>[\w ./()+-]+))?"
)


def parse_reference(text: str) -> RemoteFiles | None:
    """The files of "org/repo", "org/repo/name.safetensors", "org/repo/folder" or an address on the hub."""
    match = _REFERENCE.fullmatch(text.strip().rstrip("/"))
    if match is None or ".." in text:
        return None
    path = match["path"]
    if path is None:
        return RemoteFiles(repo_id=match["repo"], paths=("*.safetensors",))
    return RemoteFiles(
        repo_id=match["repo"], paths=(path if path.endswith(".safetensors") else f"{path}/*.safetensors",)
    )


def cached(files: RemoteFiles, hub_cache: Path) -> tuple[Path, ...]:
    """Where the files lie in the cache of the hub, of the newest revision that has them; nothing if none has."""
    snapshots = hub_cache / f"models--{files.repo_id.replace('/', '--')}" / "snapshots"
    revisions = sorted(snapshots.glob("*"), key=lambda path: path.stat().st_mtime, reverse=True)
    for revision in revisions:
        there = sorted(path for path in revision.rglob("*.safetensors") if path.is_file())
        matching = [path for path in there if _matches(path.relative_to(revision).as_posix(), files.paths)]
        if matching:
            return tuple(matching)
    return ()


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    """`*` stays within one folder."""
    return any(name.count("/") == pattern.count("/") and fnmatchcase(name, pattern) for pattern in patterns)
