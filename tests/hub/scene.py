"""A small repository on the loopback hub, and what the tests do with it."""

import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import numpy as np
from safetensors.numpy import save

from tests.hub.loopback import LoopbackHub
from wanvideo.weights.download.control import Control
from wanvideo.weights.download.disk import Disk
from wanvideo.weights.download.events import DownloadEvent, DownloadProgress, State
from wanvideo.weights.download.hub import Hub
from wanvideo.weights.download.plan import DownloadPlan, plan_download
from wanvideo.weights.download.run import download
from wanvideo.weights.download.transfer import Options, Patience
from wanvideo.weights.variants import RemoteFiles

REPO: Final = "Wan-AI/Small-Diffusers"
WANTED: Final = (RemoteFiles(repo_id=REPO, paths=("model_index.json", "*/*.json", "*/*.safetensors")),)

# As in life, a thousand times smaller and quicker.
PATIENCE: Final = Patience(attempts=4, first_seconds=0.01, longest_seconds=0.05, stall_seconds=0.4)
OPTIONS: Final = Options(patience=PATIENCE, segment_bytes=100_000, tick_seconds=0.02)


# What the downloader takes for TI2V-5B, of the form that comes from one repository alone.
SMALL_5B_REPO: Final = "Wan-AI/Wan2.2-TI2V-5B-Diffusers"
SMALL_5B_VARIANT: Final = "fp32"
SMALL_5B: Final = {
    "model_index.json": b"{}",
    **{f"{part}/config.json": b"{}" for part in ("transformer", "vae", "text_encoder")},
    **{f"{part}/model.safetensors": bytes(10**6) for part in ("transformer", "vae", "text_encoder")},
    "tokenizer/tokenizer.json": b"{}",
    "tokenizer/tokenizer_config.json": b"{}",
    "tokenizer/special_tokens_map.json": b"{}",
    "tokenizer/spiece.model": b"{}",
    "scheduler/scheduler_config.json": b"{}",
}


def shard(seed: int, kilobytes: int = 400) -> bytes:
    """A real safetensors file; every seed has other tensors."""
    values = np.frombuffer(random.Random(seed).randbytes(kilobytes * 1000), np.uint8)
    return save({f"blocks.{seed}.weight": values})


def repository() -> dict[str, bytes]:
    """Two shards with their index, a second network, and files that nobody should fetch."""
    shards = {f"transformer/model-0000{i}-of-00002.safetensors": shard(i) for i in (1, 2)}
    weight_map = {f"blocks.{i}.weight": f"model-0000{i}-of-00002.safetensors" for i in (1, 2)}
    return {
        "model_index.json": b'{"_class_name": "WanPipeline"}',
        "transformer/config.json": b'{"dim": 8}',
        "transformer/model.safetensors.index.json": repr({"weight_map": weight_map}).replace("'", '"').encode(),
        **shards,
        "vae/model.safetensors": shard(3, 50),
        "evil.py": b"import os",
        "vae/model.bin": b"\x80\x04evil",
        "README.md": b"# hello",
    }


def wanted_files(files: Mapping[str, bytes]) -> dict[str, bytes]:
    return {path: data for path, data in files.items() if path.endswith((".json", ".safetensors"))}


def plan(loopback: LoopbackHub, cache: Path, *, wanted: Iterable[RemoteFiles] = WANTED) -> DownloadPlan:
    return plan_download(tuple(wanted), Hub(endpoint=loopback.endpoint), cache, patience=PATIENCE)


def pull(
    loopback: LoopbackHub,
    cache: Path,
    *,
    wanted: Iterable[RemoteFiles] = WANTED,
    control: Control | None = None,
    disk: Disk | None = None,
    options: Options = OPTIONS,
) -> list[DownloadEvent]:
    """Plan and download; all that happened."""
    return list(download(plan(loopback, cache, wanted=wanted), control=control, options=options, disk=disk))


def snapshot(loopback: LoopbackHub, cache: Path, repo_id: str = REPO) -> Path:
    return cache / f"models--{repo_id.replace('/', '--')}" / "snapshots" / loopback.commit(repo_id)


def contents(folder: Path) -> dict[str, bytes]:
    """What a program that uses the cache finds."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def states(events: Iterable[DownloadEvent]) -> set[State]:
    return {event.state for event in events if isinstance(event, DownloadProgress)}
