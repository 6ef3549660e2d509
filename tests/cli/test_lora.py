"""`wan lora`, and `--lora` of `wan generate`."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Wan
from tests.hub.loopback import LoopbackHub
from tests.weights.lora.dialects import matrices, write, write_comfyui
from wanvideo.cli.values import parse_lora
from wanvideo.errors import InvalidRequest
from wanvideo.request import LoraExpert, LoraUse

PROMPT = "a small red circle moves left"
QUICK = ("--frames", "1", "--steps", "2", "--size", "64x64", "--seed", "1")


@pytest.mark.parametrize(
    ("text", "use"),
    [
        ("style", LoraUse(source="style")),
        ("style:0.8", LoraUse(source="style", strength=0.8)),
        ("a/b.safetensors:-1", LoraUse(source="a/b.safetensors", strength=-1)),
        ("style:.9/0.7", LoraUse(source="style", strength=0.9, strength_low=0.7)),
        ("high=x.safetensors", LoraUse(source="x.safetensors", expert=LoraExpert.HIGH)),
        ("LOW=x.safetensors:2", LoraUse(source="x.safetensors", strength=2, expert=LoraExpert.LOW)),
        ("both=high.safetensors", LoraUse(source="high.safetensors", expert=LoraExpert.BOTH)),
        ("C:\\loras\\x.safetensors", LoraUse(source="C:\\loras\\x.safetensors")),
        ("a=b:c", LoraUse(source="a=b:c")),
    ],
)
def test_a_lora_is_written_as_a_name_or_path_with_a_strength(text: str, use: LoraUse) -> None:
    assert parse_lora(text) == use


@pytest.mark.parametrize("text", ["", ":1", "high=", "low=:0.5"])
def test_a_lora_without_a_name_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="names no LoRA"):
        parse_lora(text)


def test_a_lora_is_added_listed_shown_and_removed(wan: Wan, tmp_path: Path) -> None:
    source = write_comfyui(tmp_path / "ink.safetensors", dim=1536)
    ended = wan("lora", "add", source, "--trigger", "inkwash", "--notes", "for landscapes")
    assert (ended.code, ended.err) == (0, "")
    for listed in (wan("lora").out, wan("lora", "list").out):
        assert "ink\n" in listed
        assert "inkwash" in listed
    (event,) = [e for e in wan("lora", "list", "--json").events if e["own"]]
    assert event["trigger_words"] == ["inkwash"]
    shown = wan("lora", "show", "ink")
    assert "Wan 2.1 1.3B" in shown.out
    assert "rank 4" in shown.out
    (file,) = wan("lora", "show", "ink", "--json").events[0]["files"]
    assert (file["width"], file["ranks"], file["dialect"], file["unknown"]) == (1536, [4], "ComfyUI", 0)
    assert wan("lora", "remove", "ink", "--json").events == [
        {"event": "removed", "name": "ink", "bytes": source.stat().st_size}
    ]
    assert wan("lora", "show", "ink").code == 2


def test_folders_of_other_programs_are_listed(wan: Wan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_comfyui(tmp_path / "comfyui" / "theirs.safetensors")
    (tmp_path / "comfyui" / "broken.safetensors").write_bytes(b"")
    monkeypatch.setenv("WAN_LORAS", str(tmp_path / "comfyui"))
    events = {event["name"]: event for event in wan("lora", "--json").events}
    assert not events["theirs"]["own"]
    assert events["theirs"]["problem"] is None
    assert "empty" in events["broken"]["problem"] or "no safetensors" in events["broken"]["problem"]


def test_a_lora_of_a_repository_is_downloaded_verified_and_added(
    wan: Wan, tmp_path: Path, loopback: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    lora = write_comfyui(tmp_path / "x.safetensors").read_bytes()
    loopback.add("org/repository", {"styles/ink.safetensors": lora, "styles/ink.ckpt": b"\x80\x04"})
    monkeypatch.setenv("HF_ENDPOINT", loopback.endpoint)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    ended = wan("lora", "add", "org/repository/styles")
    assert ended.code == 0, ended.err
    assert "ink is added" in ended.out
    assert wan("lora", "add", "org/repository/nothing", "--json").error["code"] == "DOWNLOAD_NOT_FOUND"


def test_two_files_that_are_no_pair_are_refused(wan: Wan, tmp_path: Path) -> None:
    files = [write_comfyui(tmp_path / f"{name}.safetensors") for name in ("a", "b")]
    assert "neither one LoRA nor a pair" in wan("lora", "add", *files).err


def test_generate_applies_a_lora_says_so_and_writes_it_into_the_file(wan: Wan, tmp_path: Path) -> None:
    path = write(
        tmp_path / "bright.safetensors",
        {
            f"diffusion_model.blocks.0.self_attn.q.lora_{end}.weight": tensor
            for end, tensor in zip(("down", "up"), matrices(dim=128)["blocks.0.self_attn.q"], strict=True)
        },
    )
    ended = wan(
        "generate", PROMPT, "--model", "t2v-A14B-demo", *QUICK, "--lora", f"low={path}:0.5", "--out", "a.png", "--json"
    )
    assert ended.code == 0, ended.err
    (resolved,) = [event for event in ended.events if event["event"] == "resolved"]
    (lora,) = resolved["loras"]
    assert (lora["name"], lora["strength"], lora["strength_low"]) == ("bright", 0, 0.5)
    said = wan("info", "a.png", "--json").out
    assert json.dumps(lora["digest"]) in said


def test_a_lora_for_another_model_is_left_out_or_fails(wan: Wan, tmp_path: Path) -> None:
    arguments = ("generate", PROMPT, "--model", "t2v-A14B-demo", *QUICK, "--out", "a.png")
    wrong = write_comfyui(tmp_path / "big.safetensors", dim=5120)
    ended = wan(*arguments, "--lora", wrong)
    assert ended.code == 0
    assert "left out: big.safetensors was made for Wan 14B or A14B" in ended.err
    ended = wan(*arguments, "--lora", wrong, "--lora-policy", "fail", "--json")
    assert ended.code == 2
    assert ended.error["code"] == "LORA_WRONG_BASE"
    assert ended.error["category"] == "lora"
