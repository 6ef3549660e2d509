"""What a server leaves on its GPUs: after a job is cancelled, and after a rank of a group is killed or stopped.

    python -m benchmarks.speed.served --json served.jsonl       # on a computer with two GPUs, which nobody else uses
    python -m benchmarks.speed.served --device cpu              # the same on the CPU, whose memory is only reported

Real servers, asked over HTTP. Every row says what was seen, and whether that is what should be; the program fails if a
row does not. The parts:

    cancel  one GPU, a 5B model of full size whose weights are all zero: bytes in use before the server, with a worker
            that has nothing to do, with a warm model, during a long job, after that was cancelled, after the models
            were let go, and after the server. A cancelled job keeps its model warm, and gives back all else; a worker
            without models keeps what CUDA itself needs.
    group   one worker of two GPUs, the demo models: a video as one GPU makes it; then the same again, while one rank is
            killed and, in another run, stopped. The job goes on from its checkpoint with new ranks, and when the server
            has ended, the GPUs are as they were before.
"""

import argparse
import json
import math
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil
import torch
from torch import nn

from benchmarks.reliability.server import NotReady, Server, running
from benchmarks.speed.record import add_row
from wanvideo.client import Client, Options
from wanvideo.client.values import Job
from wanvideo.errors import WanVideoError
from wanvideo.media.video import read_video
from wanvideo.models.config import TI2V_5B, UMT5_XXL, VAE_2_2
from wanvideo.models.text_encoder import UMT5Encoder
from wanvideo.models.transformer import WanTransformer
from wanvideo.models.vae import WanVAE
from wanvideo.request import GenerationRequest
from wanvideo.runtime.monitor import visible_gpus
from wanvideo.weights.config_json import config_json
from wanvideo.weights.layout import Layout, Names, Network
from wanvideo.weights.places import DEMO_FOLDER, MODEL_INDEX

MIB: Final = 2**20
SHARE: Final = 0.01  # of a GPU's memory, within which two numbers of used bytes are the same
CIRCLE: Final = "a small red circle moves left on a navy background"
LEAST_DB: Final = 40.0  # of videos that are to be the same
ANSWER: Final = 240.0  # seconds that anything may take


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What the parts are given."""

    folder: Path
    devices: tuple[str, ...]

    @property
    def on_gpu(self) -> bool:
        return self.devices[0] != "cpu"

    @contextmanager
    def server(self, name: str, devices: Sequence[str], **environment: str) -> Iterator[tuple[Server, Client]]:
        """A server whose only worker, once it has nothing to do, has these devices."""
        chosen = {"WANVIDEO_DEVICE": ",".join(devices), "WANVIDEO_GPUS_PER_JOB": str(len(devices)), **environment}
        with running(self.folder / name, chosen, demo=False) as server, Client(server.url, timeout=60) as client:
            until(lambda: [each.state for each in client.workers()] == ["idle"])
            yield server, client

    def used(self, server: Server | None = None) -> list[int]:
        """Bytes of each GPU that are in use, by whomever; on the CPU, those of the server's processes."""
        if self.on_gpu:
            return [total - free for free, total in self.memory()]
        return [sum(_resident(pid) for pid in server.workers()) if server else 0]

    def memory(self) -> list[tuple[int, int]]:
        """Free and all bytes of each GPU: from the driver, or, where there is no NVML, from CUDA, which takes some."""
        count = len(self.devices)
        if gpus := visible_gpus():
            return [(gpu.free, gpu.total) for gpu in gpus[:count]]
        return [torch.cuda.mem_get_info(index) for index in range(count)]

    def settled(self, server: Server | None = None) -> list[int]:
        """The same, once it stays so for a second; after 15 in any case."""
        seen, same, end = self.used(server), time.monotonic(), time.monotonic() + 15
        while time.monotonic() < min(end, same + 1):
            time.sleep(0.1)
            now = self.used(server)
            if any(abs(a - b) > MIB for a, b in zip(now, seen, strict=True)):
                seen, same = now, time.monotonic()
        return seen

    def equal(self, ours: Sequence[int], theirs: Sequence[int]) -> bool | None:
        """Whether no GPU has more in use than it had, but for `SHARE` of its memory. None: there is none."""
        if not self.on_gpu:
            return None
        return all(a - b <= SHARE * total for a, b, (_, total) in zip(ours, theirs, self.memory(), strict=True))

    def users(self) -> int:
        """Processes that hold memory of the GPUs, as far as the driver tells."""
        return sum(len(gpu.users) for gpu in visible_gpus()[: len(self.devices)]) if self.on_gpu else 0


def _resident(pid: int) -> int:
    with suppress(psutil.Error):
        return int(psutil.Process(pid).memory_info().rss)
    return 0


def until(enough: Callable[[], Any], seconds: float = ANSWER) -> Any:
    """What it gives, once that is something. Raises TimeoutError."""
    end = time.monotonic() + seconds
    while not (found := enough()):
        if time.monotonic() > end:
            raise TimeoutError(f"nothing came of {enough} in {seconds:.0f} s")
        time.sleep(0.02)
    return found


# --- cancel ----------------------------------------------------------------------------------------------------------


def cancel(scene: Scene) -> Iterator[dict[str, Any]]:
    options = Options(model="ti2v-5B" if scene.on_gpu else "ti2v-5B-demo")
    size: dict[str, Any] = {"width": 1280, "height": 704, "frames": 121} if scene.on_gpu else {"frames": 33}
    models = scene.folder / "models"
    if scene.on_gpu:
        write_zeros(models / "Wan2.2-TI2V-5B-Diffusers")
    stages = {"before": scene.settled()}
    with scene.server("cancel", scene.devices[:1], WAN_MODELS=str(models)) as (server, client):
        stages["idle"] = scene.settled(server)
        short = client.submit(GenerationRequest(prompt=CIRCLE, seed=1, steps=2, **size), options).job.id
        ended = _ended(client, short)
        yield {
            "case": "a short job",
            "ok": ended.state == "succeeded",
            "state": ended.state,
            "error": str(ended.failure),
        }
        stages["warm"] = scene.settled(server)
        long = client.submit(GenerationRequest(prompt=CIRCLE, seed=2, steps=50, **size), options).job.id
        until(lambda: client.get(long).phase == "denoise" and (client.get(long).step or 0) >= 2)
        stages["during"] = [max(seen) for seen in zip(*_watched(scene, server, 1.0), strict=True)]
        began = time.monotonic()
        client.cancel(long)
        ended = _ended(client, long)
        seconds = time.monotonic() - began
        stages["cancelled"] = scene.settled(server)
        with server.client() as plain:
            plain.post("/api/v1/system/memory/release").raise_for_status()
        stages["let go"] = scene.settled(server)
    stages["after"] = scene.settled()
    yield {"case": "used, MiB", **{name: [round(n / MIB) for n in used] for name, used in stages.items()}}
    yield {"case": "a running job is cancelled", "ok": ended.state == "cancelled", "seconds": seconds}
    for case, now, then in (
        ("a cancelled job gives back all but the warm model", "cancelled", "warm"),
        ("a worker without models has what it began with", "let go", "idle"),
        ("a server that ended has left nothing", "after", "before"),
    ):
        yield {"case": case, "ok": scene.equal(stages[now], stages[then])}


def _watched(scene: Scene, server: Server, seconds: float) -> Iterator[list[int]]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield scene.used(server)
        time.sleep(0.02)


def write_zeros(folder: Path) -> None:
    """TI2V-5B in bfloat16, all of whose weights are 0: files of holes. The tokenizer is that of the demo models."""
    demo = DEMO_FOLDER / "ti2v-5B-demo"
    parts: dict[str, tuple[Callable[[], nn.Module], Any, Network, str]] = {
        "transformer": (lambda: WanTransformer(TI2V_5B), TI2V_5B, Network.TRANSFORMER, "diffusion_pytorch_model"),
        "vae": (lambda: WanVAE(VAE_2_2), VAE_2_2, Network.VAE, "diffusion_pytorch_model"),
        "text_encoder": (lambda: UMT5Encoder(UMT5_XXL), UMT5_XXL, Network.TEXT_ENCODER, "model"),
    }
    for name, (module, config, network, stem) in parts.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "config.json").write_text(json.dumps(config_json(config)))
        keys = Layout(network=network, names=Names.DIFFUSERS).keys(config)
        with torch.device("meta"):
            shapes = {keys.to_diffusers(key) or key: tuple(p.shape) for key, p in module().state_dict().items()}
        _write_holes(folder / name / f"{stem}.safetensors", shapes)
    shutil.copytree(DEMO_FOLDER / "shared" / "tokenizer", folder / "tokenizer")
    shutil.copytree(demo / "scheduler", folder / "scheduler")
    shutil.copy(demo / MODEL_INDEX, folder / MODEL_INDEX)


def _write_holes(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    entries, end = {}, 0
    for name, shape in shapes.items():
        nbytes = 2 * math.prod(shape)
        entries[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [end, end + nbytes]}
        end += nbytes
    header = json.dumps(entries).encode()
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + end)


# --- group -----------------------------------------------------------------------------------------------------------


def group(scene: Scene) -> Iterator[dict[str, Any]]:
    before, users = scene.settled(), scene.users()
    with scene.server("one", scene.devices[:1]) as (_, client):
        one = _video(scene, client, _submit(scene, client), "one")
    with scene.server("group", scene.devices) as (server, client):
        together = _video(scene, client, _submit(scene, client), "together")
        decibel = _psnr(together, one)
        yield {"case": "the video of all to that of one", "ok": decibel >= LEAST_DB, "psnr_db": decibel}
        for name, number in (("killed", signal.SIGKILL), ("stopped", signal.SIGSTOP)):
            yield _fault(scene, server, client, name, number, together)
    after, left = scene.settled(), scene.users()
    yield {
        "case": "what the servers left", "ok": scene.equal(after, before), "users_before": users, "users_after": left,
        "before_mib": [round(n / MIB) for n in before], "after_mib": [round(n / MIB) for n in after],
    }  # fmt: skip


def _fault(
    scene: Scene, server: Server, client: Client, name: str, number: signal.Signals, whole: Path
) -> dict[str, Any]:
    """What comes of a job whose last rank gets a signal. whole: its video without that."""
    job = _submit(scene, client)
    until(lambda: _kept(client, job, "checkpoint"))
    pids = _ranks(server)
    began = time.monotonic()
    os.kill(pids[-1], number)
    requeued = until(lambda: _kept(client, job, "requeued"))
    seconds = time.monotonic() - began
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
    gone = time.monotonic() - began
    decibel = _psnr(_video(scene, client, job, name), whole)
    resumed = [event["step"] for event in _kept(client, job, "resumed")]
    fresh = _ranks(server)
    good = len(fresh) == len(pids) and not {*fresh} & {*pids} and [step > 0 for step in resumed] == [True]
    return {
        "case": f"rank {len(pids) - 1} {name}", "ok": good and decibel >= LEAST_DB, "psnr_db": decibel,
        "seconds_to_requeued": seconds, "seconds_to_gone": gone, "resumed_at_step": resumed,
        "reason": requeued[0]["reason"],
    }  # fmt: skip


def _submit(scene: Scene, client: Client) -> str:
    size: dict[str, Any] = {"steps": 400, "frames": 33} if scene.on_gpu else {"steps": 50, "frames": 9}
    request = GenerationRequest(prompt=CIRCLE, seed=3, **size)
    return client.submit(request, Options(model="t2v-A14B-demo")).job.id


def _ended(client: Client, job: str) -> Job:
    until(lambda: client.get(job).done)
    return client.get(job)


def _video(scene: Scene, client: Client, job: str, name: str) -> Path:
    client.wait(job, timeout=ANSWER)
    return client.download(job, scene.folder / f"{name}.mp4")


def _kept(client: Client, job: str, kind: str) -> list[Mapping[str, Any]]:
    return [event.data for event in client.events(job) if event.type == kind]


def _ranks(server: Server) -> list[int]:
    """Process ids, in the order in which they were started."""
    found = []
    for pid in server.workers():
        with suppress(psutil.Error):
            if "wanvideo.pipelines.rank" in psutil.Process(pid).cmdline():
                found.append(pid)
    return sorted(found, key=lambda pid: psutil.Process(pid).create_time())


def _psnr(ours: Path, theirs: Path) -> float:
    """Of two files, in decibel; infinite numbers are no JSON, so equal ones give 999."""
    first, second = (read_video(path).frames.astype(np.float64) for path in (ours, theirs))
    error = float(np.square(first - second).mean())
    return 999.0 if error == 0 else 10 * math.log10(255**2 / error)


PARTS: Final[Mapping[str, Callable[[Scene], Iterator[dict[str, Any]]]]] = {"cancel": cancel, "group": group}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--gpus", type=int, default=2)
    parser.add_argument("--only", nargs="*", choices=PARTS, help="these parts")
    parser.add_argument("--json", type=Path, help="append one JSON object per row to this file")
    parser.add_argument("--keep-logs", type=Path, help="copy what the servers said into this folder")
    options = parser.parse_args()
    devices = ("cpu",) * options.gpus if options.device == "cpu" else tuple(f"cuda:{i}" for i in range(options.gpus))
    began, good = time.monotonic(), True
    for part in options.only or PARTS:
        with tempfile.TemporaryDirectory(prefix="wanvideo-served-") as folder:
            try:
                for row in PARTS[part](Scene(folder=Path(folder), devices=devices)):
                    good = good and row.get("ok") is not False
                    add_row({"part": part, **row}, options.json)
            except (WanVideoError, NotReady, OSError) as error:  # the other part may still be measured
                good = False
                add_row(
                    {"part": part, "case": "failed", "ok": False, "error": f"{type(error).__name__}: {error}"},
                    options.json,
                )
            if options.keep_logs:
                for log in Path(folder).glob("*/server.log"):
                    options.keep_logs.mkdir(parents=True, exist_ok=True)
                    shutil.copy(log, options.keep_logs / f"{part}-{log.parent.name}.log")
        print(f"-- {part}: {time.monotonic() - began:.0f} s since the start", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
