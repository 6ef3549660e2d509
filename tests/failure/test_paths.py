"""Messages without places."""

import pytest

from wanvideo.errors import Fact
from wanvideo.failure.paths import facts_without_folders, without_folders


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/me/secret/model.safetensors is damaged", "model.safetensors is damaged"),
        ("in '/data/a/b': no", "in 'b': no"),
        ("see https://huggingface.co/Wan-AI/x for more", "see https://huggingface.co/Wan-AI/x for more"),
        ("24/30 frames, 5 GB/s, and/or", "24/30 frames, 5 GB/s, and/or"),
        ("~/models/wan/x.gguf", "x.gguf"),
        ("GET /api/v1/lora/list shows it, as /v1/models does", "GET /api/v1/lora/list shows it, as /v1/models does"),
    ],
)
def test_folders_are_left_out(text: str, shown: str) -> None:
    assert without_folders(text) == shown


def test_facts_too() -> None:
    facts: dict[str, Fact] = {"path": "/home/me/x.png", "bytes": 3, "none": None}
    assert facts_without_folders(facts) == {**facts, "path": "x.png"}
