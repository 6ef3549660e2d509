"""Option values as people write them -> numbers, texts and file names."""

import re
import sys
from pathlib import Path
from typing import Final

import typer

from wanvideo.errors import InvalidPrompt, InvalidRequest, InvalidSize
from wanvideo.request import LoraExpert, LoraUse

SIZES: Final[dict[str, tuple[int, int]]] = {"480p": (832, 480), "720p": (1280, 720)}
LORA_EXPERTS: Final = {expert.value: expert for expert in LoraExpert}
UNITS: Final = {"kib": 2**10, "mib": 2**20, "gib": 2**30, "kb": 10**3, "mb": 10**6, "gb": 10**9}
NUMBER: Final = r"[+-]?(?:\d+\.?\d*|\.\d+)"
MAX_PROMPT_BYTES: Final = 1 << 20  # of standard input, so that a wrong file is refused before memory is full


def whole(text: str) -> int:
    """For the options that take an integer; unlike Typer's own, the message names the value. So does `number`."""
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r:.60} is no whole number") from None


def number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r:.60} is no number") from None


def parse_size(text: str) -> tuple[int, int]:
    """(width, height) in pixels of "832x480", in any of its spellings, or of "480p". Raises InvalidSize."""
    name = text.strip().casefold()
    if name in SIZES:
        return SIZES[name]
    found = re.fullmatch(r"(\d{1,6})\s*[x×*]\s*(\d{1,6})", name, re.ASCII)
    if found is None:
        names = " or ".join(SIZES)
        raise InvalidSize(
            f"{text!r:.60} is no size: give WIDTHxHEIGHT such as 832x480, or {names}", facts={"size": text}
        )
    return int(found[1]), int(found[2])


def parse_bytes(text: str) -> int:
    """Bytes of "12GiB", "12 GB" or "800MiB". Raises InvalidRequest."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{0,9})?)\s*([kmg]i?b)", text.strip().casefold(), re.ASCII)
    if found is None:
        raise InvalidRequest(f"{text!r:.60} is no amount of memory: give a number and a unit, such as 12GiB")
    return int(float(found[1]) * UNITS[found[2]])


def parse_lora(text: str) -> LoraUse:
    """ "NAME", "PATH:0.8", "high=PATH:0.8", "NAME:0.9/0.7" (high and low). Raises InvalidRequest."""
    source, expert = text, None
    head, equals, tail = text.partition("=")
    if equals and head.casefold() in LORA_EXPERTS:
        source, expert = tail, LORA_EXPERTS[head.casefold()]
    strength, strength_low = 1.0, None
    place, colon, numbers = source.rpartition(":")
    if colon and (found := re.fullmatch(rf"({NUMBER})(?:/({NUMBER}))?", numbers)):
        source, strength = place, float(found[1])
        strength_low = None if found[2] is None else float(found[2])
    if not source:
        raise InvalidRequest(
            f"--lora {text!r:.100} names no LoRA: write NAME_OR_PATH, with :STRENGTH after it if not 1"
        )
    return LoraUse(source=source, strength=strength, strength_low=strength_low, expert=expert)


def read_prompts(prompt: str | None, file: str | None) -> list[str]:
    """The prompt, or each line of the file that is not blank; "-" is standard input. Raises InvalidPrompt."""
    if (prompt is None) == (file is None):
        raise InvalidPrompt(
            "there is no prompt: give PROMPT, or --prompts FILE"
            if prompt is None
            else "there are a prompt and --prompts: give one of them"
        )
    if file is None:
        return [_standard_input() if prompt == "-" else str(prompt)]
    try:
        text = _standard_input() if file == "-" else _decoded(file, Path(file).read_bytes()[: MAX_PROMPT_BYTES + 1])
    except OSError as error:
        raise InvalidPrompt(f"{file} cannot be read: {error.strerror}") from None
    found = [line.strip() for line in text.splitlines() if line.strip()]
    if not found:
        raise InvalidPrompt(f"{file} holds no prompt: write one a line")
    return found


def paired(prompts: list[str], images: list[str]) -> list[tuple[str, str | None]]:
    """A prompt and an image for each video: one of either goes with all of the other. Raises InvalidRequest."""
    if not images:
        return [(prompt, None) for prompt in prompts]
    count = max(len(prompts), len(images))
    if {len(prompts), len(images)} - {1, count}:
        raise InvalidRequest(f"{len(prompts)} prompts and {len(images)} images make no pairs: give as many, or one")
    return list(zip(prompts * (count // len(prompts)), images * (count // len(images)), strict=True))


def _standard_input() -> str:
    """All of it, as text. Raises InvalidPrompt."""
    if sys.stdin is None or sys.stdin.isatty():
        raise InvalidPrompt("the prompt `-` is read from standard input: pipe a text into the command")
    return _decoded("standard input", sys.stdin.buffer.read(MAX_PROMPT_BYTES + 1))


def _decoded(name: str, data: bytes) -> str:
    if len(data) > MAX_PROMPT_BYTES:
        raise InvalidPrompt(f"{name} holds more than {MAX_PROMPT_BYTES} bytes: is this a prompt?")
    try:
        return data.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise InvalidPrompt(f"{name} is no UTF-8 text (byte {error.start}): give the prompt as text") from error


def existing(name: str) -> Path | None:
    """The file or folder of that name, if there is one."""
    try:
        return Path(name) if name and Path(name).exists() else None
    except (OSError, ValueError):  # a name that no file can have
        return None


def free_name(path: Path) -> Path:
    """`path`, or the first of `name-2`, `name-3`, ... that does not exist yet."""
    candidate, number = path, 1
    while candidate.exists() or candidate.is_symlink():
        number += 1
        candidate = path.with_stem(f"{path.stem}-{number}")
    return candidate
