"""LoRAs on disk, by name: our own folder, and those of other programs, which are only read. No torch.

An entry is a file, or two that are alike but for the expert in their names. What a header cannot say, such as the words
that call for the style, stands in a JSON file of the same name beside it, or in the metadata of the file.
"""

import difflib
import errno
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from wanvideo.errors import DiskFull, InvalidRequest, LoraNotFound, OutputNotWritable
from wanvideo.weights.lora.file import read_lora
from wanvideo.weights.lora.names import expert_in, expert_of, without_expert
from wanvideo.weights.variants import Part

_DEEPEST: Final = 4  # folders below a root that are looked into
_NAME: Final = re.compile(r"[^\W_][\w .+-]{0,99}")
_PART: Final = re.compile(r"[^./\\\0][^/\\\0]{0,199}")  # of a path; what begins with a dot is hidden
_MOST_TEXT: Final = 1 << 20  # bytes of a JSON file beside a LoRA
_TRIGGERS: Final = ("modelspec.trigger_phrase", "trigger_words", "trigger_word", "trigger")
_NOTES: Final = ("modelspec.description", "notes", "description", "ss_training_comment")


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What people should know about a LoRA."""

    trigger_words: tuple[str, ...] = ()  # to be put into the prompt
    notes: str = ""
    source: str = ""  # where it came from


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraEntry:
    """One LoRA under one name."""

    name: str
    files: tuple[Path, ...]  # one, or that of the high-noise expert and that of the low-noise one
    own: bool  # whether it lies in our folder, and may be removed

    @property
    def nbytes(self) -> int:
        return sum(path.stat().st_size for path in self.files)

    def about(self) -> About:
        """From the JSON file beside it, and for what that does not say, from the metadata. Raises LoraCorrupt."""
        noted = _read_sidecar(_sidecar(self.files[0]))
        metadata = read_lora(self.files[0]).metadata
        words = noted.get("trigger_words") or _first(metadata, _TRIGGERS)
        return About(
            trigger_words=_words(words),
            notes=str(noted.get("notes") or _first(metadata, _NOTES)),
            source=str(noted.get("source") or ""),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraLibrary:
    """Where LoRAs are looked for: `folder` first, which is ours, then `roots`, which are others'."""

    folder: Path | None = None
    roots: tuple[Path, ...] = ()

    def entries(self) -> list[LoraEntry]:
        """All of them, each name once."""
        found: dict[str, LoraEntry] = {}
        for root in (*([self.folder] if self.folder else []), *self.roots):
            for entry in _entries(root, own=root == self.folder):
                found.setdefault(entry.name.casefold(), entry)
        return sorted(found.values(), key=lambda entry: entry.name.casefold())

    def find(self, source: str | os.PathLike[str]) -> LoraEntry:
        """The entry of that name, or the file or folder at that path.

        Raises LoraNotFound, with the names that come nearest.
        """
        entries = {entry.name.casefold(): entry for entry in self.entries()} if isinstance(source, str) else {}
        if isinstance(source, str) and (entry := entries.get(source.removesuffix(".safetensors").casefold())):
            return entry
        path = Path(source).expanduser()
        if path.is_dir():
            return _only(path)
        if path.exists():
            return LoraEntry(name=path.stem, files=(path,), own=False)
        raise _not_found(os.fspath(source), entries)

    def add(
        self,
        files: Sequence[Path],
        *,
        name: str | None = None,
        about: About | None = None,
        link: bool = False,
        move: bool = False,
    ) -> LoraEntry:
        """Take one file, or a pair (high, low), into our folder; as links to where they are if `link`, and from where
        they are, on the same disk, if `move`.

        Each is read first: raises what `read_lora` raises, InvalidRequest if the name is taken or unfit, and DiskFull
        or OutputNotWritable, after which nothing of it is there.
        """
        assert self.folder is not None, "a library without a folder of its own only reads"
        for file in files:
            read_lora(file)
        pair = len(files) == 2
        common = without_expert(files[0].stem)
        name = name or (common if pair else common and files[0].stem) or files[0].parent.name
        name = name if pair else name + _expert_mark(files[0], name)
        if not _NAME.fullmatch(name):
            raise InvalidRequest(
                f"{name!r:.110} cannot be the name of a LoRA: use letters, digits, blanks, . + - and _"
            )
        if any(entry.name.casefold() == name.casefold() for entry in _entries(self.folder, own=True)):
            raise InvalidRequest(
                f"there is a LoRA called {name} already: choose another name, or remove that one first"
            )
        kept = tuple(self.folder / f"{name}{end}.safetensors" for end in (("_high", "_low") if pair else ("",)))
        with _changing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            with ExitStack() as undo:
                for file, place in zip(files, kept, strict=True):
                    undo.callback(place.unlink, missing_ok=True)
                    _put(file, place, link=link, move=move)
                if about is not None:
                    _write_sidecar(_sidecar(kept[0]), about)
                undo.pop_all()
        return LoraEntry(name=name, files=kept, own=True)

    def take(self, name: str, files: Sequence[Path], about: About) -> LoraEntry:
        """Move files with their names out of another computer's library into our folder, under the name that they have
        there; what our folder has under it goes.

        Each is read first: raises what `read_lora` raises, InvalidRequest if the name or one of the files cannot lie in
        a folder, and DiskFull or OutputNotWritable, after which there is what was there before, or nothing.
        """
        assert self.folder is not None, "a library without a folder of its own only reads"
        places = [self.folder / place for place in _places(name, [file.name for file in files])]
        for file in files:
            read_lora(file)
        old = [each for each in _entries(self.folder, own=True) if each.name.casefold() == name.casefold()]
        with _changing(self.folder):
            for path in (path for each in old for path in (*each.files, _sidecar(each.files[0]))):
                path.unlink(missing_ok=True)
            places[0].parent.mkdir(parents=True, exist_ok=True)
            with ExitStack() as undo:
                for file, place in zip(files, places, strict=True):
                    undo.callback(place.unlink, missing_ok=True)
                    _put(file, place, link=False, move=True)
                _write_sidecar(_sidecar(places[0]), about)
                undo.pop_all()
        return LoraEntry(name=name, files=tuple(places), own=True)

    def describe(self, name: str, about: About) -> None:
        """Write what is known of an entry of our folder beside it; the file itself stays as it is.

        Raises LoraNotFound if there is none, InvalidRequest if it belongs to another program, DiskFull or
        OutputNotWritable.
        """
        entry = self.find(name)
        if not entry.own:
            raise InvalidRequest(f"{entry.name} belongs to another program: add it here, and note it then")
        with _changing(entry.files[0].parent):
            _write_sidecar(_sidecar(entry.files[0]), about)

    def remove(self, name: str) -> tuple[LoraEntry, int]:
        """Delete the files of an entry of our folder; the entry, and how many bytes that frees.

        Raises LoraNotFound if there is none, InvalidRequest if it belongs to another program.
        """
        entry = self.find(name)
        if not entry.own:
            raise InvalidRequest(f"{entry.files[0]} is not in {self.folder}: delete it where it belongs to")
        freed = sum(0 if path.is_symlink() else path.stat().st_size for path in entry.files)
        with _changing(entry.files[0].parent):
            for path in (*entry.files, _sidecar(entry.files[0])):
                path.unlink(missing_ok=True)
        return entry, freed


# --- finding ---------------------------------------------------------------------------------------------------------


def _entries(root: Path, *, own: bool) -> Iterator[LoraEntry]:
    """The LoRAs below a folder, pairs put together."""
    groups: dict[tuple[Path, str], list[Path]] = {}
    for path in sorted(_safetensors(root, _DEEPEST)):
        groups.setdefault((path.parent, without_expert(path.stem).casefold()), []).append(path)
    for paths in groups.values():
        pair = _pair(paths)
        for files in [pair] if pair else [(path,) for path in paths]:
            yield LoraEntry(name=_name(root, files), files=files, own=own)


def _safetensors(folder: Path, depth: int) -> Iterator[Path]:
    """Files to `depth` folders down; what cannot be read is passed over."""
    try:
        children = sorted(folder.iterdir())
    except OSError:
        return
    for child in children:
        if child.name.startswith("."):
            continue
        if child.is_dir():
            if depth > 1:
                yield from _safetensors(child, depth - 1)
        elif child.suffix.lower() == ".safetensors" and child.is_file():
            yield child


def _pair(paths: Sequence[Path]) -> tuple[Path, ...] | None:
    """(high, low), if that is what the two files are."""
    by_part = {expert_in(path.stem): path for path in paths}
    if len(paths) == 2 and by_part.keys() == {Part.TRANSFORMER, Part.TRANSFORMER_2}:
        return by_part[Part.TRANSFORMER], by_part[Part.TRANSFORMER_2]
    return None


def _name(root: Path, files: Sequence[Path]) -> str:
    """Path from the root, without suffix; of a pair what its names have in common, or the name of its folder."""
    place = files[0].relative_to(root).with_suffix("")
    if len(files) == 1:
        return place.as_posix()
    common = without_expert(place.name)
    return (place.with_name(common) if common else place.parent if place.parent.name else place).as_posix()


def _places(name: str, files: Sequence[str]) -> list[Path]:
    """Below a root, so that `_name` of them is `name` again. Raises InvalidRequest."""
    place = PurePosixPath(name)
    sound = all(_PART.fullmatch(part) for part in (*place.parts, *files)) and len(files) in (1, 2)
    if sound and len(files) == 1:
        return [Path(f"{place}.safetensors")]
    if sound and _pair([Path(file) for file in files]):
        folder = place.parent if without_expert(Path(files[0]).stem) else place
        return [Path(folder / file) for file in files]
    raise InvalidRequest(f"{', '.join(files)!r:.200} cannot be the files of a LoRA called {name!r:.110}")


def _only(folder: Path) -> LoraEntry:
    """The one LoRA in a folder that was named."""
    found = list(_entries(folder, own=False))
    if len(found) != 1:
        names = ", ".join(entry.files[0].name for entry in found[:5]) or "no .safetensors files"
        raise LoraNotFound(f"{folder} holds {len(found)} LoRAs ({names}): name the file")
    return LoraEntry(name=folder.name if len(found[0].files) == 2 else found[0].name, files=found[0].files, own=False)


def _not_found(source: str, entries: Mapping[str, LoraEntry]) -> LoraNotFound:
    near = [entries[key].name for key in difflib.get_close_matches(source[:100].casefold(), entries, n=3)]
    hint = f"did you mean {' or '.join(near)}?" if near else "`wan lora list` shows what there is"
    return LoraNotFound(
        f"no LoRA is called {source[:200]!r}, and no file lies there: {hint}",
        suggestions=near,
        facts={"source": source[:200]},
    )


# --- files -----------------------------------------------------------------------------------------------------------


def _expert_mark(file: Path, name: str) -> str:
    """What to add to a name that would no longer say which expert the file is for."""
    part = expert_of(file)
    if part is None or expert_in(name) is part:
        return ""
    return "_high" if part is Part.TRANSFORMER else "_low"


@contextmanager
def _changing(folder: Path) -> Iterator[None]:
    """Says which folder it was that could not be written."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"the disk of {folder} is full: make room, or add the LoRA with --link") from error
        raise OutputNotWritable(f"{folder} cannot be written: {error.strerror}") from error


def _put(file: Path, place: Path, *, link: bool, move: bool) -> None:
    """A copy, whole or not at all, or a link, or the file itself."""
    if link:
        place.symlink_to(file.resolve())
        return
    if move:
        file.replace(place)
        return
    part = place.with_name(f".{place.name}.{secrets.token_hex(4)}.part")
    try:
        shutil.copyfile(file, part)
        part.replace(place)
    finally:
        part.unlink(missing_ok=True)


def _sidecar(file: Path) -> Path:
    return file.with_suffix(".json")


def _read_sidecar(path: Path) -> Mapping[str, Any]:
    """What the JSON file says; a missing or foreign one says nothing."""
    try:
        if path.stat().st_size > _MOST_TEXT:
            return {}
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _write_sidecar(path: Path, about: About) -> None:
    value = {"trigger_words": list(about.trigger_words), "notes": about.notes, "source": about.source}
    path.write_text(json.dumps({key: said for key, said in value.items() if said}, indent=2) + "\n", "utf-8")


def _first(metadata: Mapping[str, str], keys: Sequence[str]) -> str:
    return next((metadata[key] for key in keys if metadata.get(key)), "")


def _words(value: object) -> tuple[str, ...]:
    """From a list, or from a text with commas."""
    parts = value if isinstance(value, list) else str(value).split(",")
    return tuple(word for part in parts if (word := str(part).strip()))
