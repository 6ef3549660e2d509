"""References to LoRAs on the hub are understood, and files in its cache are found."""

from pathlib import Path

import pytest

from tests.weights.lora.dialects import write_comfyui
from wanvideo.weights.lora.hub import cached, parse_reference

REPO = "lightx2v/Wan2.2-Lightning"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (REPO, "*.safetensors"),
        (f"{REPO}/a b/high_noise_model.safetensors", "a b/high_noise_model.safetensors"),
        (f"{REPO}/Wan2.2-T2V-V2.0/", "Wan2.2-T2V-V2.0/*.safetensors"),
        (f"https://huggingface.co/{REPO}/blob/main/V2/x.safetensors", "V2/x.safetensors"),
        (f"https://huggingface.co/{REPO}/tree/main/V2", "V2/*.safetensors"),
    ],
)
def test_every_form_of_a_reference_means_files_of_a_repository(text: str, path: str) -> None:
    remote = parse_reference(text)
    assert remote is not None
    assert (remote.repo_id, remote.paths) == (REPO, (path,))


@pytest.mark.parametrize("text", ["style", "/abs/path", "a/../b", "https://example.com/a/b", "", "a/b\0"])
def test_what_is_no_reference_is_none(text: str) -> None:
    assert parse_reference(text) is None


def test_files_in_the_cache_are_found(tmp_path: Path) -> None:
    snapshot = tmp_path / f"models--{REPO.replace('/', '--')}" / "snapshots" / "0123abcd"
    for name in ("V1/high_noise_model", "V1/low_noise_model", "top"):
        write_comfyui(snapshot / f"{name}.safetensors")
    pair = parse_reference(f"{REPO}/V1")
    assert pair is not None
    assert [path.name for path in cached(pair, tmp_path)] == [
        "high_noise_model.safetensors",
        "low_noise_model.safetensors",
    ]
    whole = parse_reference(REPO)
    assert whole is not None
    assert [path.name for path in cached(whole, tmp_path)] == ["top.safetensors"]
    missing = parse_reference(f"{REPO}/V2")
    assert missing is not None
    assert cached(missing, tmp_path) == ()
