"""LoRAs are found by name in our folder and in those of other programs, and pairs are one LoRA."""

import errno
import json
import shutil
from pathlib import Path

import pytest

from tests.weights.lora.dialects import write_comfyui
from wanvideo.errors import DiskFull, InvalidRequest, LoraCorrupt, LoraNotFound, LoraUnsafeFormat
from wanvideo.weights.lora.library import About, LoraLibrary
from wanvideo.weights.lora.names import expert_in, expert_of, without_expert
from wanvideo.weights.variants import Part

HIGH, LOW = Part.TRANSFORMER, Part.TRANSFORMER_2


@pytest.fixture
def library(tmp_path: Path) -> LoraLibrary:
    return LoraLibrary(folder=tmp_path / "own", roots=(tmp_path / "comfyui",))


@pytest.mark.parametrize(
    ("name", "part", "common"),
    [
        ("high_noise_model", HIGH, ""),
        ("low_noise_model", LOW, ""),
        ("Wan2.2-Lightning_T2V-A14B-4steps-lora_HIGH_fp16", HIGH, "Wan2.2-Lightning_T2V-A14B-4steps-lora_fp16"),
        (
            "wan2.2_t2v_A14b_low_noise_lora_rank64_lightx2v_4step_1217",
            LOW,
            "wan2.2_t2v_A14b_lora_rank64_lightx2v_4step_1217",
        ),
        ("MyStyleHighNoise", HIGH, "MyStyle"),
        ("my-style-lownoise-v2", LOW, "my-style-v2"),
        ("style HN", HIGH, "style"),
        ("style_high_low", None, "style"),
        ("low_poly_art", None, "low_poly_art"),
        ("highres", None, "highres"),
        ("slow_flow", None, "slow_flow"),
        ("high-heels-v1_low", LOW, "high-heels-v1"),
    ],
)
def test_names_speak_of_experts_in_many_spellings(name: str, part: Part | None, common: str) -> None:
    assert expert_in(name) is part
    assert without_expert(name) == common


def test_the_folder_counts_where_the_file_says_nothing() -> None:
    assert expert_of(Path("LowNoise/model.safetensors")) is LOW
    assert expert_of(Path("LowNoise/high.safetensors")) is HIGH


def test_pairs_are_one_entry_named_by_what_they_have_in_common(library: LoraLibrary, tmp_path: Path) -> None:
    for name in (
        "style_HIGH",
        "style_LOW",
        "alone_high",
        "Lightning/high_noise_model",
        "Lightning/low_noise_model",
        "deep/er/x",
    ):
        write_comfyui(tmp_path / "comfyui" / f"{name}.safetensors")
    entries = {entry.name: entry for entry in library.entries()}
    assert entries.keys() == {"style", "alone_high", "Lightning", "deep/er/x"}
    assert [path.name for path in entries["Lightning"].files] == [
        "high_noise_model.safetensors",
        "low_noise_model.safetensors",
    ]
    assert library.find("STYLE").files == entries["style"].files


def test_our_own_comes_before_others_of_that_name(library: LoraLibrary, tmp_path: Path) -> None:
    for folder in ("own", "comfyui"):
        write_comfyui(tmp_path / folder / "style.safetensors")
    (entry,) = library.entries()
    assert entry.own
    assert entry.files[0].parent.name == "own"


def test_an_unknown_name_is_answered_with_the_nearest(library: LoraLibrary, tmp_path: Path) -> None:
    write_comfyui(tmp_path / "own" / "watercolour.safetensors")
    with pytest.raises(LoraNotFound, match="did you mean watercolour") as raised:
        library.find("watercolor")
    assert raised.value.suggestions == ("watercolour",)
    with pytest.raises(LoraNotFound, match="wan lora list"):
        library.find("/nowhere/x.safetensors")
    (tmp_path / "empty").mkdir()
    with pytest.raises(LoraNotFound, match="0 LoRAs"):
        library.find(tmp_path / "empty")


def test_what_is_added_is_a_copy_with_what_was_said_about_it(library: LoraLibrary, tmp_path: Path) -> None:
    source = write_comfyui(tmp_path / "style.safetensors")
    library.add([source], about=About(trigger_words=("inkwash", "ink"), notes="for landscapes"))
    source.unlink()
    entry = library.find("style")
    assert entry.own
    assert entry.about() == About(trigger_words=("inkwash", "ink"), notes="for landscapes")


def test_what_the_metadata_say_counts_where_nothing_else_is_said(library: LoraLibrary, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = write_comfyui(tmp_path / "own" / "style.safetensors")
    save_file(load_file(path), path, {"modelspec.trigger_phrase": "a, b", "modelspec.description": "soft"})
    assert library.find("style").about() == About(trigger_words=("a", "b"), notes="soft")
    path.with_suffix(".json").write_text(json.dumps({"trigger_words": ["c"]}))
    assert library.find("style").about() == About(trigger_words=("c",), notes="soft")
    path.with_suffix(".json").write_text("[" * 100_000)
    assert library.find("style").about().trigger_words == ("a", "b")


def test_a_pair_is_added_and_removed_as_one(library: LoraLibrary, tmp_path: Path) -> None:
    pair = [write_comfyui(tmp_path / "Lightning" / f"{name}_noise_model.safetensors") for name in ("high", "low")]
    added = library.add(pair)
    assert added.name == "Lightning"
    assert library.find("Lightning") == added
    entry, freed = library.remove("lightning")
    assert freed == sum(path.stat().st_size for path in pair)
    assert not any(path.exists() for path in entry.files)
    assert all(path.exists() for path in pair)


def test_one_half_of_a_pair_keeps_its_expert_under_another_name(library: LoraLibrary, tmp_path: Path) -> None:
    added = library.add([write_comfyui(tmp_path / "x_low_noise.safetensors")], name="ink")
    assert added.name == "ink_low"
    assert library.find("ink_low") == added


def test_a_link_stays_where_it_is(library: LoraLibrary, tmp_path: Path) -> None:
    source = write_comfyui(tmp_path / "style.safetensors")
    entry = library.add([source], link=True)
    assert entry.files[0].resolve() == source
    assert library.remove("style")[1] == 0
    assert source.exists()


def test_what_is_no_lora_is_not_added(library: LoraLibrary, tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"\x80\x02}.")
    with pytest.raises(LoraUnsafeFormat):
        library.add([tmp_path / "a.safetensors"])
    (tmp_path / "b.safetensors").write_text("<html>")
    with pytest.raises(LoraCorrupt, match="web page"):
        library.add([tmp_path / "b.safetensors"])
    assert library.entries() == []


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "x" * 200, "a\0b"])
def test_no_name_leads_out_of_the_folder(name: str, library: LoraLibrary, tmp_path: Path) -> None:
    source = write_comfyui(tmp_path / "style.safetensors")
    with pytest.raises(InvalidRequest, match="name"):
        library.add([source], name=name)


def test_a_name_is_taken_once_and_others_files_are_not_removed(library: LoraLibrary, tmp_path: Path) -> None:
    source = write_comfyui(tmp_path / "comfyui" / "style.safetensors")
    library.add([source], name="mine")
    with pytest.raises(InvalidRequest, match="already"):
        library.add([source], name="Mine")
    with pytest.raises(InvalidRequest, match="where it belongs"):
        library.remove("style")
    assert source.exists()


def test_a_full_disk_leaves_nothing_behind(
    library: LoraLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = [write_comfyui(tmp_path / "x" / f"style_{name}.safetensors") for name in ("high", "low")]
    copy = shutil.copyfile

    def full(source: Path, target: Path) -> Path:
        if "_low" in target.name:
            target.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        return copy(source, target)

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(DiskFull, match="own"):
        library.add(pair)
    assert list((tmp_path / "own").iterdir()) == []
