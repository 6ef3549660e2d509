"""Sizes, prompts from standard input and file names."""

import io
from pathlib import Path

import pytest

from wanvideo.cli.values import free_name, paired, parse_bytes, parse_size, read_prompts
from wanvideo.errors import InvalidPrompt, InvalidRequest, InvalidSize


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("832x480", (832, 480)),
        (" 832 X 480 ", (832, 480)),
        ("832×480", (832, 480)),
        ("832*480", (832, 480)),
        ("480p", (832, 480)),
        ("720P", (1280, 720)),
        ("0x0", (0, 0)),  # refused later, with the legal sizes of the model
    ],
)
def test_sizes_are_read_in_every_usual_spelling(text: str, size: tuple[int, int]) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "abc", "832", "832x", "x480", "-1x5", "8.5x4", "1x2x3", "1080i", "９x９", "9" * 99]
)
def test_other_texts_are_refused_with_the_right_form(text: str) -> None:
    with pytest.raises(InvalidSize, match="WIDTHxHEIGHT such as 832x480"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "nbytes"),
    [("12GiB", 12 * 2**30), (" 12 gib ", 12 * 2**30), ("1.5GiB", 3 * 2**29), ("800 MB", 800_000_000), ("4KiB", 4096)],
)
def test_amounts_of_memory_have_a_unit(text: str, nbytes: int) -> None:
    assert parse_bytes(text) == nbytes


@pytest.mark.parametrize("text", ["", "12", "GiB", "-1GiB", "12 GiB free", "1e3GiB", "12TiB", "9" * 99 + "GiB"])
def test_other_amounts_are_refused_with_the_right_form(text: str) -> None:
    with pytest.raises(InvalidRequest, match="such as 12GiB"):
        parse_bytes(text)


class _Stdin(io.TextIOWrapper):
    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))


def test_a_dash_reads_the_prompt_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", _Stdin("\ufeffa heron, 鹭\n".encode()))
    assert read_prompts("-", None) == ["a heron, 鹭"]
    assert read_prompts("a heron", None) == ["a heron"]


@pytest.mark.parametrize(("data", "message"), [(b"\xff\xfe\x00", "no UTF-8 text"), (b"a" * (2 << 20), "more than")])
def test_what_is_no_prompt_on_standard_input_is_refused(
    data: bytes, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", _Stdin(data))
    with pytest.raises(InvalidPrompt, match=message):
        read_prompts("-", None)


def test_a_taken_name_is_numbered(tmp_path: Path) -> None:
    wanted = tmp_path / "heron-7.mp4"
    assert free_name(wanted) == wanted
    wanted.touch()
    (tmp_path / "heron-7-2.mp4").symlink_to("nowhere")
    assert free_name(wanted) == tmp_path / "heron-7-3.mp4"


def test_a_file_holds_a_prompt_a_line(tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text("\ufeffa heron\n\n  鹭 \r\n", encoding="utf-8")
    assert read_prompts(None, str(file)) == ["a heron", "鹭"]
    file.write_text("\n \n")
    for prompt, name, said in (
        (None, str(file), "one a line"),
        (None, str(tmp_path / "no"), "cannot be read"),
        (None, None, "no prompt"),
        ("x", str(file), "one of them"),
    ):
        with pytest.raises(InvalidPrompt, match=said):
            read_prompts(prompt, name)


def test_prompts_and_images_make_pairs() -> None:
    assert paired(["a", "b"], []) == [("a", None), ("b", None)]
    assert paired(["a", "b"], ["1", "2"]) == [("a", "1"), ("b", "2")]
    assert paired(["a"], ["1", "2"]) == [("a", "1"), ("a", "2")]
    assert paired(["a", "b"], ["1"]) == [("a", "1"), ("b", "1")]
    for prompts, images in ((["a", "b"], ["1", "2", "3"]), (["a"] * 4, ["1"] * 2)):
        with pytest.raises(InvalidRequest, match="no pairs"):
            paired(prompts, images)
