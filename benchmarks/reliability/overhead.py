"""What the job service adds to a video: the same request in one warm process and through a warm server, in turns."""

import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any, Final

import httpx2
import torch

import wanvideo
from benchmarks.reliability.record import Row, Tell
from benchmarks.reliability.server import running
from wanvideo.pipelines.base import VideoPipeline
from wanvideo.pipelines.write import generate_to_file
from wanvideo.request import GenerationRequest

USUAL: Final = 10  # pairs
MODEL: Final = "t2v-A14B-demo"
PROMPT: Final = "a small red circle moves left"
ALLOWED_SECONDS: Final = 0.3
ALLOWED_SHARE: Final = 0.05


def run(trials: range, tell: Tell) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder)) as server,
        server.client() as client,
        wanvideo.load(MODEL) as pipeline,
    ):
        torch.set_num_threads(1)  # as the worker has
        for number in (trials.stop, *trials):  # the first one warms both up
            here = _here(pipeline, Path(folder) / "here.mp4", number)
            there = _there(client, number)
            if number in trials:
                tell({"here_seconds": here, "there_seconds": there})


def _here(pipeline: VideoPipeline, path: Path, seed: int) -> float:
    """As `wan generate` does it."""
    began = time.perf_counter()
    with closing(generate_to_file(pipeline, GenerationRequest(prompt=PROMPT, seed=seed), path)) as events:
        for _ in events:
            pass
    return time.perf_counter() - began


def _there(client: httpx2.Client, seed: int) -> float:
    """From the submit to the last event that a client is told."""
    began = time.perf_counter()
    body = {"model_type": MODEL, "prompt": PROMPT, "seed": seed}
    job = client.post("/api/v1/generation/submit", json=body).json()["task_id"]
    with client.stream("GET", f"/api/v1/queue/{job}/stream", timeout=600) as events:
        for line in events.iter_lines():
            if '"completed"' in line:
                break
    took = time.perf_counter() - began
    assert client.get(f"/api/v1/queue/{job}").json()["state"] == "succeeded"
    return took


def rows(lines: Sequence[Mapping[str, Any]]) -> list[Row]:
    here = median(line["here_seconds"] for line in lines)
    added = median(line["there_seconds"] - line["here_seconds"] for line in lines)
    allowed = max(ALLOWED_SECONDS, ALLOWED_SHARE * here)
    return [
        Row("one video in one warm process, median", f"{here:.2f} s"),
        Row(
            f"added by the job service, median of {len(lines)} pairs",
            f"{added:+.2f} s ({added / here:+.1%})",
            f"≤ {ALLOWED_SECONDS} s or {ALLOWED_SHARE:.0%}",
            added <= allowed,
        ),
    ]
