"""What the name of a file says about the weights in it, where their shapes cannot. No torch.

Both experts of a Wan 2.2 model, and the text-to-video model of Wan 2.1, have the same tensors; so have models that were
trained further for few steps or for other inputs.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wanvideo.weights.places import Role

_DISTILLED: Final = re.compile(r"light ?(x2v|ning)|distill|rapid|turbo|caus ?vid|fast ?wan|\d ?steps?\b")
_OTHER: Final = re.compile(r"\b(vace|animate|s2v|fun|camera|control|phantom|re ?cam|infinite ?talk|multi ?talk)\b")
_ROLE: Final = re.compile(r"(?<![a-z])(high|low)(?=noise|[^a-z]|$)")
_VERSION: Final = re.compile(r"wan ?2 ?([12])(?!\d)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """None: the name does not say."""

    role: Role | None
    distilled: bool  # for few steps without guidance: another picture, and wrong with the usual settings
    other: str | None  # what it was changed to do
    stem: str  # the name without its role, so that the two experts of one release have the same


def read_label(path: Path) -> Label:
    """From the name of the file, then of its folder; the version also from the repository in the hub's cache."""
    name, folder = _words(path.name), _words(path.parent.name)
    everything = " ".join(_words(part) for part in path.parts[-5:])
    role = _role(name) or _role(folder) or _role_in_diffusers(path.parent)
    if role is None and _VERSION.findall(everything) and set(_VERSION.findall(everything)) == {"1"}:
        role = Role.ONLY
    other = _OTHER.search(name) or _OTHER.search(folder)
    return Label(
        role=role,
        distilled=_DISTILLED.search(name) is not None,
        other=other[1] if other else None,
        stem=" ".join(_ROLE.sub(" ", name).replace("noise", " ").split()),
    )


def speaks_of(path: Path, model_id: str) -> bool:
    """Whether a file that cannot be opened belongs to a model, by its name: "wan2.2_t2v_high_noise_14B_fp8" does."""
    words = _words(path.name)
    *version, task, size = model_id.split("-")
    is_first = set(_VERSION.findall(words)) == {"1"}
    return f" {task.lower()} " in words and _words(size.removeprefix("A")) in words and bool(version) == is_first


def _role(words: str) -> Role | None:
    found = set(_ROLE.findall(words))
    return Role(found.pop()) if len(found) == 1 else None


def _role_in_diffusers(folder: Path) -> Role | None:
    """Of a transformer in a Diffusers folder."""
    if folder.name == "transformer_2":
        return Role.LOW
    if folder.name == "transformer":
        return Role.HIGH if (folder.parent / "transformer_2").is_dir() else Role.ONLY
    return None


def _words(name: str) -> str:
    """Lower case, with blanks instead of `_`, `-`, `.`, and between small and capital letters."""
    return re.sub(r"[\W_]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)).lower()
