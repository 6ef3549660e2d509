"""Jobs that fail in the worker."""

import os
import resource
import signal
import struct
import time
from collections.abc import Mapping
from typing import Any, Final

from tests.failure.ways.stage import WAYS, Stage, way
from tests.server.serving import serving
from wanvideo.jobs.terms import Deadlines

_FAULTY: Final = {
    "VRAM_PREFLIGHT": "large load planned",
    "VRAM_OOM_LOAD": "large load gpu-memory",
    "VRAM_OOM_DENOISE": "large denoise gpu-memory",
    "VRAM_OOM_VAE": "large decode gpu-memory",
    "VRAM_OOM": "large write gpu-memory",
    "HOST_OOM": "large denoise host-memory",
    "CUDA_FATAL": "large denoise fatal",
    "GPU_LOST": "large denoise lost",
    "DRIVER_MISMATCH": "large denoise driver",
    "GPU_UNSUPPORTED": "large denoise kernel",
    "MODEL_LOAD_FAILED": "large load bug",
    "INFERENCE_FAILED": "large denoise bug",
    "INFERENCE_NAN": "large denoise not-finite",
    "RANK_FAILED": "large denoise rank",
    "STATE_INCOMPATIBLE": "large denoise state",
    "LORA_UNUSABLE": "large load lora",
    "ENCODE_FAILED": "large decode encoder",
}
for _code, _prompt in _FAULTY.items():
    WAYS[_code] = lambda stage, prompt=_prompt: stage.faulty(prompt)  # type: ignore[misc]


@way("INFERENCE_BLACK")
def _(stage: Stage) -> Mapping[str, Any]:
    """A warning: the video is there."""
    task = stage.submit(model_type="faulty-large", prompt="black night", steps=None)
    assert stage.server.until(task, "completed", "failed")["warnings"]
    events = stage.server.get(f"/api/v1/queue/{task}/events")["events"]
    return next(event["data"] for event in events if event["type"] == "warning")


@way("ENCODER_MISSING")
def _(stage: Stage) -> Mapping[str, Any]:
    try:
        return stage.faulty("large denoise no-encoder")
    finally:
        os.kill(stage.worker_pid(), signal.SIGKILL)  # this one is left without


@way("DISK_FULL")
def _(stage: Stage) -> Mapping[str, Any]:
    """Files of the worker may not grow any more."""
    pid = stage.worker_pid()
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (200, before[1]))
    try:
        return stage.faulty("nothing goes wrong")
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


@way("OUTPUT_NOT_WRITABLE")
def _(stage: Stage) -> Mapping[str, Any]:
    with stage.instead(stage.server.parts.folder.outputs, b"no folder"):
        return stage.failed()


# --- models on disk --------------------------------------------------------------------------------------------------


@way("MODEL_MISSING")
def _(stage: Stage) -> Mapping[str, Any]:
    with stage.without(stage.demo / "t2v-A14B-demo"):
        return stage.failed()


@way("MODEL_INCOMPLETE")
def _(stage: Stage) -> Mapping[str, Any]:
    (weights,) = (stage.demo / "t2v-A14B-demo" / "transformer").glob("*.safetensors")
    with stage.without(weights):
        return stage.failed()


@way("MODEL_CORRUPT")
def _(stage: Stage) -> Mapping[str, Any]:
    (weights,) = (stage.demo / "t2v-A14B-demo" / "transformer_2").glob("*.safetensors")
    with stage.instead(weights, weights.read_bytes()[:-100]):
        found = stage.failed()
    assert found["facts"]["part"] == "low-noise expert"
    assert weights.name in found["message"]
    return found


@way("MODEL_ARCH_UNKNOWN")
def _(stage: Stage) -> Mapping[str, Any]:
    (weights,) = (stage.demo / "t2v-A14B-demo" / "transformer").glob("*.safetensors")
    (other,) = (stage.demo / "ti2v-5B-demo" / "vae").glob("*.safetensors")
    with stage.instead(weights, other.read_bytes()):
        return stage.failed()


@way("MODEL_VERSION")
def _(stage: Stage) -> Mapping[str, Any]:
    """A GGUF file of version 1 among the files of a user."""
    folder = stage.tmp / "models"
    folder.mkdir(exist_ok=True)
    file = folder / "Wan2.2-TI2V-5B-Q4_K_M.gguf"
    file.write_bytes(b"GGUF" + struct.pack("<IQQ", 1, 0, 0))
    (stage.tmp / "hub").mkdir(exist_ok=True)
    try:
        with stage.without(stage.tmp / "hub"):  # where a download that failed may have left other files of the model
            return stage.failed(model_type="ti2v-5B", force=True)
    finally:
        file.unlink()
        stage.server.parts.catalog.look_again()


# --- workers ---------------------------------------------------------------------------------------------------------


@way("WORKER_CRASH", slow=True)
def _(stage: Stage) -> Mapping[str, Any]:
    return stage.faulty("large denoise killed")


@way("WORKER_HUNG", slow=True)
def _(stage: Stage) -> Mapping[str, Any]:
    return _stuck(stage, "load")


@way("STEP_TIMEOUT", slow=True)
def _(stage: Stage) -> Mapping[str, Any]:
    return _stuck(stage, "denoise")


def _stuck(stage: Stage, phase: str) -> Mapping[str, Any]:
    supervisor = stage.server.parts.supervisor
    usual = supervisor.terms.deadlines
    supervisor.terms.deadlines = Deadlines(phases={"load": 2.0, "denoise": 2.0})
    try:
        return stage.faulty(f"large {phase} stuck")
    finally:
        supervisor.terms.deadlines = usual


@way("WORKER_START")
def _(stage: Stage) -> Mapping[str, Any]:
    """Seen in the health of the server: jobs wait."""
    with serving(stage.tmp / "no-gpu", device="cuda:7") as server:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            checks = server.client.get("/readyz").json()["checks"]
            found: Mapping[str, Any] = next(check for check in checks if check["name"] == "worker")
            if "code" in found:
                return found
            time.sleep(0.1)
    raise AssertionError(f"nothing is said of a worker that does not start, but {found}")


@way("CANCELLED_USER")
def _(stage: Stage) -> Mapping[str, Any]:
    """Not a failure: the event says it."""
    task = stage.submit(steps=100)
    stage.server.post(f"/api/v1/queue/{task}/cancel")
    stage.server.until(task, "cancelled")
    events = stage.server.get(f"/api/v1/queue/{task}/events")["events"]
    return next(event["data"] for event in events if event["type"] == "cancelled")
