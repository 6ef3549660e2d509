"""Every code there is, by the way that really leads to it; and whether what is proposed can be done."""

import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import wanvideo
from tests.failure.ways import downloads, jobs, requests
from tests.failure.ways.stage import SLOW, WAYS, Stage, hub_of
from tests.faulty import faulty_family
from tests.hub.loopback import running_hub
from tests.server.serving import serving
from wanvideo.failure import CODES, KINDS
from wanvideo.weights.places import DEMO_FOLDER

TAXONOMY = """
MODEL_MISSING MODEL_INCOMPLETE MODEL_CORRUPT MODEL_VERSION MODEL_ARCH_UNKNOWN MODEL_LOAD_FAILED
DOWNLOAD_UNREACHABLE DOWNLOAD_AUTH DOWNLOAD_NOT_FOUND DOWNLOAD_RATE_LIMITED DOWNLOAD_HASH_MISMATCH DOWNLOAD_DISK_FULL
DOWNLOAD_STALLED VRAM_PREFLIGHT VRAM_OOM_LOAD VRAM_OOM_DENOISE VRAM_OOM_VAE HOST_OOM
CUDA_FATAL GPU_LOST DRIVER_MISMATCH GPU_UNSUPPORTED INFERENCE_NAN INFERENCE_BLACK INFERENCE_FAILED STEP_TIMEOUT
INPUT_PROMPT INPUT_SIZE INPUT_FRAMES INPUT_IMAGE_REQUIRED INPUT_IMAGE_BAD INPUT_IMAGE_TOO_LARGE INPUT_RANGE
LORA_NOT_FOUND LORA_UNSAFE_FORMAT LORA_WRONG_BASE LORA_PARTIAL LORA_CORRUPT LORA_TOO_MANY
ENCODE_FAILED ENCODER_MISSING DISK_FULL OUTPUT_MISSING CANCELLED_USER CANCELLED_SHUTDOWN
WORKER_CRASH WORKER_HUNG WORKER_START QUEUE_FULL DRAINING STORAGE_ERROR INTERNAL
"""

assert {downloads, jobs, requests}, "importing them lists their ways"


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    tmp = tmp_path_factory.mktemp("My Secret Folder")
    demo = Path(shutil.copytree(DEMO_FOLDER, tmp / "demo"))
    (tmp / "site").mkdir()
    with (
        faulty_family(tmp / "site"),
        running_hub() as hub,
        serving(tmp, demo_folder=demo, hubs=(hub_of(hub),), device="cpu", demo=False) as server,
    ):
        yield Stage(server=server, demo=demo, hub=hub, tmp=tmp)


def test_every_code_has_a_way_that_leads_to_it_and_a_line_in_the_documentation() -> None:
    assert set(WAYS) == CODES
    lines = Path("docs/errors.md").read_text().splitlines()
    described = {line.split("`")[1]: line for line in lines if line.startswith("| `")}
    assert described.keys() == CODES
    for code, kind in KINDS.items():
        assert f"| {kind.category} |" in described[code]
        assert kind.title in described[code]


def test_no_code_of_the_package_is_left_undescribed() -> None:
    sources = Path(wanvideo.__file__).parent.rglob("*.py")
    found = {code for path in sources for code in re.findall(r'^    code(?:: str)? = "(\w+)"', path.read_text(), re.M)}
    assert len(found) > 60
    assert found <= described()


def test_every_name_of_the_threat_model_is_a_code_or_is_accounted_for() -> None:
    assert set(TAXONOMY.split()) <= described()
    assert set(TAXONOMY.split()) - CODES == {"LORA_PARTIAL", "CANCELLED_SHUTDOWN", "DRAINING"}


def described() -> set[str]:
    return set(re.findall(r"`([A-Z]+(?:_[A-Z]+)*)`", Path("docs/errors.md").read_text()))


@pytest.mark.parametrize(
    "code", [pytest.param(code, marks=pytest.mark.slow) if code in SLOW else code for code in sorted(WAYS)]
)
def test_a_code_is_what_comes_of_it_and_its_advice_can_be_followed(stage: Stage, code: str) -> None:
    said = WAYS[code](stage)
    assert said["code"] == code
    if code in ("INFERENCE_BLACK", "CANCELLED_USER", "WORKER_START"):  # no failures
        return
    assert said["category"] == KINDS[code].category
    assert said["message"]
    if code != "STORAGE_LOCKED":  # which is told to whom starts the server
        assert "Secret" not in repr(said)  # nor anything else of where files lie
    assert "Traceback" not in repr(said)
    for action in said.get("actions", ()):
        assert action["text"]
        assert action["effect"]
        _follow(stage, action)


def _follow(stage: Stage, action: Mapping[str, Any]) -> None:
    """Do what is proposed; the queue is paused, so that it is not done in earnest."""
    call = action.get("call")
    if call is None:
        return
    server = stage.server
    server.post("/api/v1/queue/pause")
    try:
        answer = server.client.request(call["method"], call["path"], json=call["body"])
        assert answer.status_code == 200, (action, answer.text)
        found = answer.json()
        for task in found if isinstance(found, list) else [found]:
            if "id" in task:
                server.post(f"/api/v1/queue/{task['id']}/cancel")
    finally:
        server.post("/api/v1/queue/resume")
