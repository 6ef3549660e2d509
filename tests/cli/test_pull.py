"""`wan models pull`, `verify`, `repair` and `remove`."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Wan
from tests.hub.loopback import LoopbackHub, Status, running_hub
from tests.hub.scene import contents, repository, shard, snapshot, wanted_files

REPO = "Wan-AI/Wan2.2-T2V-A14B-Diffusers"
FP32 = ("t2v-A14B", "--variant", "fp32")
SRC = Path(__file__).parents[2] / "src"


@pytest.fixture
def hub(loopback: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> LoopbackHub:
    """A hub that has a small t2v-A14B, and is the one that the environment names."""
    loopback.add(REPO, whole_repository())
    monkeypatch.setenv("HF_ENDPOINT", loopback.endpoint)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    return loopback


def whole_repository() -> dict[str, bytes]:
    """All parts that the variant fp32 has."""
    configs = {f"{part}/config.json": b"{}" for part in ("transformer_2", "vae", "text_encoder")}
    weights = {"transformer_2/model.safetensors": shard(5), "text_encoder/model.safetensors": shard(4, 50)}
    settings = {"scheduler/scheduler_config.json": b"{}", "tokenizer/tokenizer.json": b"{}"}
    return repository() | configs | weights | settings


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "hf" / "hub"


def test_pull_downloads_and_prints_the_folder(wan: Wan, hub: LoopbackHub, cache: Path) -> None:
    ended = wan("models", "pull", "t2v-a14b", "--variant", "FP32")
    assert ended.code == 0, ended.err
    folder = Path(ended.out.strip())
    assert folder == snapshot(hub, cache, REPO)
    assert contents(folder) == wanted_files(whole_repository())
    assert "to fetch in" in ended.err
    assert "are free" in ended.err
    assert "verified" in ended.err


def test_pulling_again_fetches_nothing(wan: Wan, hub: LoopbackHub) -> None:
    wan("models", "pull", *FP32)
    before = hub.sent_bytes
    ended = wan("models", "pull", *FP32, "--quiet")
    assert (ended.code, ended.err, hub.sent_bytes) == (0, "", before)


def test_pull_tells_programs_everything_as_json(wan: Wan, hub: LoopbackHub) -> None:
    events = wan("models", "pull", *FP32, "--json").events
    assert [event["event"] for event in events if event["event"] != "progress"] == ["offer", "planned", "downloaded"]
    planned = events[1]
    assert planned["total_bytes"] == sum(map(len, wanted_files(whole_repository()).values()))
    # What has the same bytes comes once.
    assert events[-1]["fetched_bytes"] == planned["missing_bytes"] == planned["total_bytes"] - 4 * len(b"{}")
    assert {event["state"] for event in events if event["event"] == "progress"} >= {"done"}


def test_a_mirror_is_asked_when_the_hub_fails_and_gets_no_token(
    wan: Wan, hub: LoopbackHub, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.fail_always("*", Status(code=404))
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with running_hub() as mirror:
        mirror.add(REPO, whole_repository())
        monkeypatch.setenv("WAN_HUB_MIRRORS", mirror.endpoint)
        ended = wan("models", "pull", *FP32, "--json")
    assert [event["reason"] for event in ended.events if event["event"] == "fell_back"]
    assert contents(snapshot(mirror, cache, REPO)) == wanted_files(whole_repository())
    assert all("Authorization" in request.headers for request in hub.asked("hub"))
    assert not any("Authorization" in request.headers for request in mirror.requests)


def test_a_token_in_the_file_of_hf_auth_login_is_used(wan: Wan, hub: LoopbackHub, cache: Path) -> None:
    hub.token = "hf_secret"
    assert wan("models", "pull", *FP32, "--json").error["code"] == "DOWNLOAD_AUTH"
    cache.parent.mkdir(parents=True, exist_ok=True)
    (cache.parent / "token").write_text("hf_secret\n")
    assert wan("models", "pull", *FP32).code == 0


def test_an_endpoint_from_the_command_line_gets_no_token(
    wan: Wan, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.example")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert wan("models", "pull", *FP32, "--endpoint", hub.endpoint).code == 0
    assert not any("Authorization" in request.headers for request in hub.requests)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("t2v-A41B",), 2, "did you mean t2v-A14B"),
        (("t2v-A14B-demo",), 2, "comes with its package"),
        (("t2v-A14B", "--variant", "q9"), 2, "has no variant 'q9'"),
        ((*FP32, "--endpoint", "nowhere"), 2, "is no address of a hub"),
        (("i2v-A14B", "--variant", "fp32"), 1, "does not exist"),
    ],
)
def test_what_cannot_be_pulled_says_why(
    wan: Wan, hub: LoopbackHub, arguments: tuple[str, ...], code: int, message: str
) -> None:
    ended = wan("models", "pull", *arguments)
    assert ended.code == code
    assert message in ended.err


def test_offline_pulls_nothing(wan: Wan, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert wan("models", "pull", *FP32, "--json").error["code"] == "DOWNLOAD_OFFLINE"
    assert hub.requests == []


def test_ctrl_c_keeps_what_has_arrived_and_says_how_to_go_on(hub: LoopbackHub, cache: Path, tmp_path: Path) -> None:
    hub.bytes_per_second = 5e4
    command = f"import sys; from wanvideo.cli.main import main; sys.exit(main({['models', 'pull', *FP32]}))"
    environment = os.environ | {"PYTHONPATH": str(SRC)}
    with subprocess.Popen([sys.executable, "-c", command], env=environment, stderr=subprocess.PIPE, text=True) as wan:
        while hub.sent_bytes < 100_000:
            assert wan.poll() is None
        wan.send_signal(signal.SIGINT)
        _, error = wan.communicate(timeout=20)
    assert wan.returncode == 130
    assert "`wan models pull t2v-A14B` goes on from there" in error
    assert list(cache.rglob("*.wan-journal"))


def test_verify_and_repair_a_damaged_model(wan: Wan, hub: LoopbackHub, cache: Path) -> None:
    wan("models", "pull", *FP32)
    assert wan("models", "verify", "t2v-A14B").out.startswith("fp32: ready")
    shard = snapshot(hub, cache, REPO) / "vae/model.safetensors"
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    ended = wan("models", "verify", "t2v-A14B", "--deep", "--json")
    assert ended.code == 1
    (report,) = ended.events
    assert report["health"] == "corrupt"
    assert [fault["path"] for fault in report["faults"]] == [str(shard)]
    before = hub.sent_bytes
    assert wan("models", "repair", "t2v-A14B").code == 0
    assert hub.sent_bytes == before + len(data)
    assert wan("models", "verify", "t2v-A14B", "--deep").code == 0


def test_verify_asks_the_hub_for_something_newer_only_when_told(wan: Wan, hub: LoopbackHub) -> None:
    wan("models", "pull", *FP32)
    hub.add(REPO, whole_repository() | {"model_index.json": b"{}"})
    asked = len(hub.requests)
    assert wan("models", "verify", "t2v-A14B").out.startswith("fp32: ready")
    assert len(hub.requests) == asked
    assert wan("models", "verify", "t2v-A14B", "--online").out.startswith("fp32: outdated")


def test_remove_says_what_it_frees(wan: Wan, hub: LoopbackHub, cache: Path) -> None:
    wan("models", "pull", *FP32)
    ended = wan("models", "remove", "t2v-A14B", "--yes")
    assert ended.code == 0
    assert "MiB freed" in ended.out
    assert not list(cache.glob("models--*"))


@pytest.mark.parametrize("command", ["verify", "repair", "remove"])
def test_a_model_that_is_not_here_can_be_pulled(wan: Wan, hub: LoopbackHub, command: str) -> None:
    ended = wan("models", command, "t2v-A14B", "--json")
    assert ended.code == 1
    assert ended.error["suggestions"] == ["wan models pull t2v-A14B"]


def test_listing_still_lists(wan: Wan) -> None:
    assert json.loads(wan("models", "--json").out.splitlines()[0])["id"] == "t2v-A14B"
