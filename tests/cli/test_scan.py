"""`wan models add`, `scan` and `convert`, with a catalogue of one tiny model."""

from pathlib import Path

import pytest

from tests.cli.conftest import Wan
from tests.weights import dialects as d
from tests.weights.test_finding import comfy
from wanvideo.cli import convert, scan
from wanvideo.weights import adding, assemble, finding, folder

__all__ = ["comfy"]  # a fixture
HIGH = "wan2.2_t2v_high_noise_14B_fp8_scaled.safetensors"


@pytest.fixture(autouse=True)
def _only_the_tiny_model(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (scan, convert, adding, folder, finding, assemble):
        monkeypatch.setattr(module, "MODELS", (d.SPEC,))


def test_a_tree_that_is_added_makes_its_model_ready(wan: Wan, comfy: Path) -> None:
    ended = wan("models", "add", comfy, "--json")
    assert (ended.code, ended.err) == (0, "")
    assert [e["event"] for e in ended.events] == ["found"] * 5 + ["model", "added"]
    assert ended.events[0]["role"] == "high"
    (ready,) = [event for event in ended.events if event["event"] == "model"]
    assert (ready["id"], ready["state"], ready["sets"][0]["precision"]) == ("t2v-A14B", "ready", "fp8")
    shown = wan("models", "scan")
    assert "t2v-A14B: ready, fp8" in shown.out
    assert str(comfy / "diffusion_models" / HIGH) in shown.out


def test_what_a_model_lacks_is_shown(wan: Wan, comfy: Path) -> None:
    ended = wan("models", "scan", comfy / "diffusion_models" / HIGH)
    assert ended.code == 0
    assert "transformer, high, fp8" in ended.out
    assert "t2v-A14B is not whole" in ended.out
    assert "the low-noise expert and the autoencoder" in ended.out


def test_a_name_that_does_not_tell_has_to_be_explained(wan: Wan, tmp_path: Path) -> None:
    path = d.write(tmp_path / "mystery.safetensors", d.transformer_tensors())
    refused = wan("models", "add", path)
    assert refused.code == 2
    assert "add --as high" in refused.err
    assert wan("models", "add", path, "--as", "high").code == 0
    found = [event for event in wan("models", "scan", "--json").events if event["event"] == "found"]
    assert [(event["path"], event["role"]) for event in found] == [(str(path), "high")]


def test_one_role_is_not_given_to_several(wan: Wan, comfy: Path) -> None:
    ended = wan("models", "add", comfy, "--as", "high")
    assert ended.code == 2
    assert "holds 2" in ended.err


@pytest.mark.parametrize(
    ("content", "code", "message"), [(None, 2, "does not exist"), (b"PK\x03\x04" * 9, 1, "pickle")]
)
def test_what_is_of_no_use_is_not_added(
    wan: Wan, tmp_path: Path, content: bytes | None, code: int, message: str
) -> None:
    path = tmp_path / "wan.safetensors"
    if content is not None:
        path.write_bytes(content)
    ended = wan("models", "add", path)
    assert ended.code == code
    assert message in ended.err


def test_nothing_found_is_said(wan: Wan) -> None:
    ended = wan("models", "scan")
    assert ended.code == 0
    assert "no weights of Wan were found" in ended.err


def test_a_single_file_is_converted(wan: Wan, comfy: Path, tmp_path: Path) -> None:
    ended = wan("models", "convert", comfy / "diffusion_models" / HIGH, tmp_path / "out", "--dtype", "fp8", "--json")
    assert (ended.code, ended.err) == (0, "")
    assert [event["event"] for event in ended.events] == ["converted", "done"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "config.json",
        "diffusion_pytorch_model.safetensors",
    ]


def test_a_tree_is_converted_to_a_whole_model(wan: Wan, comfy: Path, tmp_path: Path) -> None:
    ended = wan("models", "convert", comfy, tmp_path / "out")
    assert ended.code == 0, ended.err
    assert (tmp_path / "out" / "model_index.json").exists()
    shown = wan("models", "scan", tmp_path / "out")
    assert "t2v-A14B: ready, bf16" in shown.out


def test_an_unknown_type_is_refused(wan: Wan, tmp_path: Path) -> None:
    ended = wan("models", "convert", tmp_path, tmp_path / "out", "--dtype", "fp4")
    assert ended.code == 2
    assert "give bf16, fp8 or int8" in ended.err
