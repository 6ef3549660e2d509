import zipfile
from pathlib import Path

import pytest
import torch

from tests.weights import dialects as d
from wanvideo.errors import ModelCorrupt, ModelIncomplete
from wanvideo.weights.checkpoint import read_checkpoint


def test_content_decides_and_not_the_name(tmp_path: Path) -> None:
    tensors = {"a": torch.ones(2)}
    d.write(tmp_path / "really_safetensors.gguf", tensors)
    d.write_gguf(tmp_path / "really_gguf.safetensors", tensors)
    for path in tmp_path.iterdir():
        assert list(read_checkpoint(path).tensors) == ["a"]


@pytest.mark.parametrize(
    ("name", "alternative"),
    [
        ("Wan2.1_VAE.pth", "wan_2.1_vae.safetensors of Comfy-Org"),
        ("Wan2.2_VAE.pth", "wan2.2_vae.safetensors of Comfy-Org"),
        ("models_t5_umt5-xxl-enc-bf16.pth", "umt5_xxl_fp16.safetensors"),
        ("innocent.safetensors", "in safetensors format"),
    ],
)
def test_a_pickle_is_refused_whatever_it_is_called_and_the_alternative_named(
    tmp_path: Path, name: str, alternative: str
) -> None:
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        archive.writestr("data.pkl", b"cos\nsystem\n")
    (tmp_path / "bare").write_bytes(b"\x80\x04\x95" + bytes(100))
    with pytest.raises(ModelCorrupt, match=rf"pickle checkpoint.*{alternative}"):
        read_checkpoint(tmp_path / name)
    with pytest.raises(ModelCorrupt, match="pickle checkpoint"):
        read_checkpoint(tmp_path / "bare")


def test_files_that_are_no_weights_are_named(tmp_path: Path) -> None:
    (tmp_path / "page").write_text("<html>404</html>")
    (tmp_path / "zeros").write_bytes(bytes(100))
    with pytest.raises(ModelCorrupt, match="a web page"):
        read_checkpoint(tmp_path / "page")
    with pytest.raises(ModelCorrupt, match="zeros"):
        read_checkpoint(tmp_path / "zeros")
    with pytest.raises(ModelIncomplete, match="is missing"):
        read_checkpoint(tmp_path / "nothing")
