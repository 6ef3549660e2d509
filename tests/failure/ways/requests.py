"""Requests that are refused, and jobs that the worker refuses."""

import io
import json
import sqlite3
import struct
import subprocess
from collections.abc import Mapping
from contextlib import closing
from typing import Any, Final

import torch
from PIL import Image
from safetensors.torch import save

from tests.cli.test_serve import SERVE
from tests.failure.ways.stage import DEMO, WAYS, Stage, problem, way
from tests.server.serving import no_workers, serving

_REFUSED: Final[Mapping[str, dict[str, Any]]] = {
    "INPUT_PROMPT": {"prompt": " "},
    "INPUT_SIZE": {"resolution": "2x2"},
    "INPUT_FRAMES": {"frames": 10_000},
    "INPUT_IMAGE_REQUIRED": {"model_type": "i2v-A14B-demo"},
    "MODEL_UNKNOWN": {"model_type": "t2v-A15B"},
    "VARIANT_UNKNOWN": {"model_type": "ti2v-5B", "variant": "fp3", "force": True},
    "LORA_NOT_FOUND": {"loras": [{"name": "absent"}], "lora_policy": "fail"},
    "LORA_TOO_MANY": {"loras": 16 * [{"name": "slanted"}], "lora_path": "slanted", "lora_policy": "fail"},
}
for _code, _fields in _REFUSED.items():
    WAYS[_code] = lambda stage, fields=_fields: stage.refused(**fields)  # type: ignore[misc]


@way("INPUT_RANGE")
def _(stage: Stage) -> Mapping[str, Any]:
    return stage.refused("/queue?cursor=nonsense", method="GET")


# --- pictures and videos ---------------------------------------------------------------------------------------------


def _picture(stage: Stage, data: bytes, model: str = "i2v-A14B-demo") -> Mapping[str, Any]:
    form = {"model_type": model, "prompt": "a small red circle"}
    return problem(stage.server.client.post("/api/v1/generation/submit", data=form, files={"image": ("x.png", data)}))


@way("INPUT_IMAGE_BAD")
def _(stage: Stage) -> Mapping[str, Any]:
    return _picture(stage, b"\x89PNG\r\n\x1a\nnothing")


@way("INPUT_IMAGE_TOO_LARGE")
def _(stage: Stage) -> Mapping[str, Any]:
    """400 million pixels of one bit, in 50 KB."""
    file = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(file, "PNG")
    return _picture(stage, file.getvalue())


@way("INPUT_IMAGE_NOT_TAKEN")
def _(stage: Stage) -> Mapping[str, Any]:
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "PNG")
    return _picture(stage, file.getvalue(), DEMO)


@way("INPUT_MEDIA_BAD")
def _(stage: Stage) -> Mapping[str, Any]:
    return problem(stage.server.client.post("/api/v1/outputs/settings", files={"file": ("x.mp4", b"nothing")}))


# --- LoRAs -----------------------------------------------------------------------------------------------------------


def _lora(stage: Stage, data: bytes) -> Mapping[str, Any]:
    return problem(stage.server.client.post("/api/v1/lora/upload", files={"file": ("x.safetensors", data)}))


@way("LORA_UNSAFE_FORMAT")
def _(stage: Stage) -> Mapping[str, Any]:
    return _lora(stage, b"\x80\x04evil")


@way("LORA_CORRUPT")
def _(stage: Stage) -> Mapping[str, Any]:
    return _lora(stage, struct.pack("<Q", 16) + b"nothing")


@way("LORA_UNSUPPORTED")
def _(stage: Stage) -> Mapping[str, Any]:
    return _lora(stage, save({f"blocks.0.self_attn.q.lokr_w{i}": torch.zeros(4, 4) for i in (1, 2)}))


@way("LORA_WRONG_BASE")
def _(stage: Stage) -> Mapping[str, Any]:
    """It may wait in the library for a model that it fits."""
    folder = stage.server.parts.sources.library.folder
    assert folder is not None
    wide = {f"blocks.0.self_attn.q.lora_{which}.weight": torch.zeros(4, 4) for which in ("A", "B")}
    folder.mkdir(exist_ok=True)
    (folder / "wide.safetensors").write_bytes(save(wide))
    return stage.refused(loras=[{"name": "wide"}], lora_policy="fail")


# --- jobs as such ----------------------------------------------------------------------------------------------------


@way("JOB_NOT_FOUND")
def _(stage: Stage) -> Mapping[str, Any]:
    return stage.refused(f"/queue/{'0' * 32}", method="GET")


@way("WORKER_NOT_FOUND")
def _(stage: Stage) -> Mapping[str, Any]:
    return stage.refused("/system/workers/cuda:99", method="DELETE")


@way("JOB_STATE")
def _(stage: Stage) -> Mapping[str, Any]:
    task = stage.submit()
    stage.server.until(task, "completed")
    return stage.refused(f"/queue/{task}/retry")


@way("IDEMPOTENCY_CONFLICT")
def _(stage: Stage) -> Mapping[str, Any]:
    for prompt in ("a circle", "a square"):
        answer = stage.server.client.post(
            "/api/v1/generation/submit",
            json={"model_type": DEMO, "prompt": prompt, "held": True},
            headers={"Idempotency-Key": "once"},
        )
    return problem(answer)


@way("OUTPUT_MISSING")
def _(stage: Stage) -> Mapping[str, Any]:
    task = stage.submit()
    video = stage.server.until(task, "completed")["output_path"]
    (stage.server.parts.folder.outputs / video).unlink()
    return problem(stage.server.client.get(f"/api/v1/outputs/{task}/download"))


# --- the server ------------------------------------------------------------------------------------------------------


@way("INTERNAL")
def _(stage: Stage) -> Mapping[str, Any]:
    """A bug in a family."""
    return stage.refused(model_type="faulty-large", prompt="adapt bug")


@way("QUEUE_FULL")
def _(stage: Stage) -> Mapping[str, Any]:
    with serving(stage.tmp / "small", workers=no_workers, max_queued=1) as server:
        server.submit()
        body = {"model_type": "T2V-A14B", "prompt": "one more"}
        return problem(server.client.post("/api/v1/generation/submit", json=body))


@way("STORAGE_ERROR")
def _(stage: Stage) -> Mapping[str, Any]:
    """The table of jobs is gone."""
    with serving(stage.tmp / "broken", workers=no_workers) as server:
        with closing(sqlite3.connect(server.parts.folder.database)) as database:
            database.execute("DROP TABLE jobs")
        return problem(server.client.get("/api/v1/queue"))


@way("STORAGE_LOCKED")
def _(stage: Stage) -> Mapping[str, Any]:
    command = [*SERVE, "--demo", "--port", "0", "--json", "--data-dir", str(stage.server.parts.folder.root)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    error: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])["error"]
    return error
