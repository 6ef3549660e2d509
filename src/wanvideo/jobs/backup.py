"""A server's data folder, copied while the server runs, and put back.

A backup is a folder or a tar file: the database, pictures, videos, thumbnails and settings, and `manifest.json` with
the SHA-256 of each. The database is copied first, by SQLite itself and at one moment; the files that it names are there
by then. What is half made is left out: a job that runs meanwhile begins anew where it is restored.

Nothing is ever half there: both ways go through a hidden place beside the target, which gets its name at the end.
"""

import errno
import glob
import hashlib
import io
import json
import os
import secrets
import shutil
import sqlite3
import tarfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final, Protocol

from wanvideo.errors import DiskFull, StorageFailed
from wanvideo.jobs.folder import DataFolder, sync
from wanvideo.jobs.job import State

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
DATABASE: Final = "wanvideo.db"
VIDEOS: Final = "outputs"
SETTINGS: Final = ("limits.json", "downloads.json")  # in the data folder
LARGEST_MANIFEST: Final = 2**30  # bytes
_BLOCK: Final = 2**20
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """One file of a backup."""

    path: str  # within it, with slashes
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a backup holds."""

    format: int = FORMAT
    made: float  # seconds since 1970
    videos: bool  # False: they were left out
    files: tuple[Copied, ...]
    missing: tuple[str, ...] = ()  # videos that the database names, and that are gone
    changed: tuple[str, ...] = ()  # videos that are no longer what the server made; they are there as they are

    @property
    def bytes(self) -> int:
        return sum(each.bytes for each in self.files)

    @classmethod
    def from_json(cls, text: str) -> "Manifest":
        """Raises StorageFailed."""
        try:
            values = json.loads(text)
            if values["format"] != FORMAT:
                raise StorageFailed(
                    f"this backup has the format {values['format']!r:.20}, and {FORMAT} can be read here"
                )
            files = tuple(
                Copied(path=str(each["path"]), bytes=int(each["bytes"]), sha256=str(each["sha256"]))
                for each in values["files"]
            )
            return cls(
                made=float(values["made"]), videos=bool(values["videos"]), files=files,
                missing=tuple(values["missing"]), changed=tuple(values["changed"]),
            )  # fmt: skip
        except (ValueError, KeyError, TypeError) as error:
            raise StorageFailed(
                f"{MANIFEST} of the backup cannot be read ({error!r:.100}): take another one"
            ) from error


# --- making one ------------------------------------------------------------------------------------------------------


def backup(folder: DataFolder, target: Path, *, videos: bool = True) -> Manifest:
    """Copy to `target`: a tar file if its name says so, else a new folder. The server may run, and its jobs go on.

    videos: with False, the videos stay out, which are most of the bytes. Raises StorageFailed, DiskFull.
    """
    if not folder.database.is_file():
        raise StorageFailed(f"there is no server's data in {folder.root}: name its folder with --data-dir")
    if target.exists():
        raise StorageFailed(f"{target} exists: name a new file or folder")
    with _explained(target), _becoming(target) as part, _tar(part) if _is_tar(target) else _new_folder(part) as sink:
        return _fill(folder, sink, part.with_name(f"{part.name}.db"), videos=videos)


def _fill(folder: DataFolder, sink: "Sink", draft: Path, *, videos: bool) -> Manifest:
    try:
        _copy_database(folder.database, draft)
        files = [sink.add(DATABASE, draft)]
        made = list(_videos(draft))
    finally:
        draft.unlink(missing_ok=True)
    files += [sink.add(name, folder.root / name) for name in SETTINGS if (folder.root / name).is_file()]
    files += [sink.add(f"inputs/{path.name}", path) for path in _plain_files(folder.inputs)]
    for job, _, _ in made:
        thumbnail = folder.thumbnail(job)
        with suppress(FileNotFoundError):
            files.append(sink.add(f"thumbnails/{thumbnail.name}", thumbnail))
    missing, changed = [], []
    for _, name, sha256 in made if videos else ():
        try:
            copied = sink.add(f"{VIDEOS}/{name}", folder.outputs / name)
        except FileNotFoundError:
            missing.append(name)
            continue
        files.append(copied)
        if sha256 and copied.sha256 != sha256:
            changed.append(name)
    manifest = Manifest(
        made=time.time(), videos=videos, files=tuple(files), missing=tuple(missing), changed=tuple(changed)
    )
    sink.write(MANIFEST, json.dumps(asdict(manifest), indent=1).encode())
    return manifest


def _copy_database(source: Path, target: Path) -> None:
    """As it is at one moment, while others write; without a journal beside it. Raises StorageFailed."""
    read_only = f"{source.absolute().as_uri()}?mode=ro"
    with (
        _as_ours(),
        closing(sqlite3.connect(read_only, uri=True)) as there,
        closing(sqlite3.connect(target)) as here,
    ):
        there.backup(here)
        here.execute("PRAGMA journal_mode=DELETE")
    _check_database(target)


def _videos(database: Path) -> Iterator[tuple[str, str, str]]:
    """Id, file and hash of every job that made one."""
    with _as_ours(), closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        for job, text in connection.execute("SELECT id, result FROM jobs WHERE state = ?", (str(State.SUCCEEDED),)):
            result = json.loads(text or "{}")
            if name := PurePosixPath(str(result.get("file", ""))).name:
                yield job, name, str(result.get("sha256", ""))


def _plain_files(folder: Path) -> Iterator[Path]:
    """Without links, and without what is being written."""
    for path in sorted(folder.iterdir()):
        if path.is_file() and not path.is_symlink() and not path.name.startswith(".") and path.suffix != ".part":
            yield path


# --- where it goes ---------------------------------------------------------------------------------------------------


class Sink(Protocol):
    def add(self, name: str, source: Path) -> Copied:
        """Copy a file. Raises FileNotFoundError, OSError."""

    def write(self, name: str, data: bytes) -> None: ...


@dataclass(frozen=True, slots=True)
class _Folder:
    root: Path

    def add(self, name: str, source: Path) -> Copied:
        with source.open("rb") as file:
            return _copy(file, self.root, name)

    def write(self, name: str, data: bytes) -> None:
        path = self.root / name
        path.write_bytes(data)
        sync(path)


@dataclass(frozen=True, slots=True)
class _Tar:
    file: tarfile.TarFile

    def add(self, name: str, source: Path) -> Copied:
        with source.open("rb") as file:
            entry = self._entry(name, os.fstat(file.fileno()).st_size)
            hashing = _Hashing(file)
            self.file.addfile(entry, hashing)
        return Copied(path=name, bytes=entry.size, sha256=hashing.digest.hexdigest())

    def write(self, name: str, data: bytes) -> None:
        self.file.addfile(self._entry(name, len(data)), io.BytesIO(data))

    def _entry(self, name: str, size: int) -> tarfile.TarInfo:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode, entry.mtime = size, 0o600, int(time.time())
        return entry


@contextmanager
def _new_folder(path: Path) -> Iterator[_Folder]:
    path.mkdir(mode=0o700)
    yield _Folder(path)


@contextmanager
def _tar(path: Path) -> Iterator[_Tar]:
    with open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
            yield _Tar(tar)
        file.flush()
        os.fsync(file.fileno())


@dataclass(slots=True)
class _Hashing:
    """A file that knows the hash of what was read from it."""

    file: BinaryIO
    digest: Any = field(default_factory=hashlib.sha256)

    def read(self, size: int = -1) -> bytes:
        data = self.file.read(size)
        self.digest.update(data)
        return data


# --- putting it back -------------------------------------------------------------------------------------------------


def restore(source: Path, folder: DataFolder) -> Manifest:
    """Make a data folder of a backup, after each of its files was compared with its hash.

    Raises StorageFailed if the backup is damaged, if there is something in the folder already, or if a video of another
    content has its place; then nothing was changed. Raises DiskFull.
    """
    if folder.root.exists() and (not folder.root.is_dir() or any(folder.root.iterdir())):
        raise StorageFailed(f"{folder.root} is not empty: restore to a new folder, or move that one away")
    if not source.exists():
        raise StorageFailed(f"there is no backup {source}")
    with _explained(folder.root), _becoming(folder.root) as part:
        part.mkdir(mode=0o700, parents=True)
        manifest = _unpack_tar(source, part) if source.is_file() else _unpack_folder(source, part)
        _check_database(part / DATABASE)
        _move_videos(part / VIDEOS, folder)
    folder.make()
    return manifest


def _unpack_folder(source: Path, part: Path) -> Manifest:
    manifest = Manifest.from_json(_text(source / MANIFEST))
    for expected in manifest.files:
        _require_plain(expected.path)
        try:
            with (source / expected.path).open("rb") as file:
                _require_equal(_copy(file, part, expected.path), expected)
        except FileNotFoundError:
            raise _damaged(f"{expected.path} is missing") from None
    return manifest


def _unpack_tar(source: Path, part: Path) -> Manifest:
    """The manifest is the last file of a tar, and says what the others have to be."""
    copied: dict[str, Copied] = {}
    manifest: Manifest | None = None
    try:
        with tarfile.open(source, "r:") as tar:
            for entry in tar:
                file = tar.extractfile(entry) if entry.isreg() else None
                if file is None:
                    raise _damaged(f"{entry.name!r:.100} is no file")
                if entry.name == MANIFEST:
                    manifest = Manifest.from_json(file.read(LARGEST_MANIFEST).decode())
                    break
                _require_plain(entry.name)
                copied[entry.name] = _copy(file, part, entry.name)  # type: ignore[arg-type]
    except (tarfile.TarError, UnicodeDecodeError, EOFError) as error:
        raise _damaged(f"it is no tar file, or half of one ({error!s:.100})") from error
    if manifest is None:
        raise _damaged(f"it has no {MANIFEST}, so it was not finished")
    for expected in manifest.files:
        found = copied.pop(expected.path, None)
        if found is None:
            raise _damaged(f"{expected.path} is missing")
        _require_equal(found, expected)
    if copied:
        raise _damaged(f"{next(iter(copied))} is not in its {MANIFEST}")
    return manifest


def _move_videos(videos: Path, folder: DataFolder) -> None:
    """To the folder that the user chose, if there is one, never over another file."""
    if folder.chosen_outputs is None or not videos.is_dir():
        return
    folder.chosen_outputs.mkdir(parents=True, exist_ok=True)
    for path in videos.iterdir():
        there = folder.chosen_outputs / path.name
        if there.exists() and _digest(there) != _digest(path):
            raise StorageFailed(f"{there} is another video than the one in the backup: move it away")
    for path in videos.iterdir():
        if not (there := folder.chosen_outputs / path.name).exists():
            shutil.move(path, there)
    shutil.rmtree(videos)


def _require_plain(name: str) -> None:
    """Names of a backup lead to files of a data folder, and nowhere else."""
    parts = PurePosixPath(name).parts
    inside = (len(parts) == 1 and parts[0] in (DATABASE, *SETTINGS)) or (
        len(parts) == 2 and parts[0] in ("inputs", "thumbnails", VIDEOS)
    )
    if not inside or ".." in parts or "\0" in name or "\\" in name:
        raise _damaged(f"{name!r:.100} has no place in a data folder")


def _require_equal(found: Copied, expected: Copied) -> None:
    if found != expected:
        raise _damaged(
            f"{expected.path} is not what was backed up: {found.bytes} of {expected.bytes} bytes, another hash"
        )


def _damaged(why: str) -> StorageFailed:
    return StorageFailed(f"the backup is damaged: {why}. Nothing was restored; take another one")


# --- files -----------------------------------------------------------------------------------------------------------


@contextmanager
def _becoming(target: Path) -> Iterator[Path]:
    """A hidden place beside `target` that becomes it when the block succeeds, and vanishes otherwise."""
    parent = target.absolute().parent
    parent.mkdir(parents=True, exist_ok=True)
    for left in parent.glob(f".{glob.escape(target.name)}.*.part*"):  # of one that was killed
        _remove(left)
    part = parent / f".{target.name}.{secrets.token_hex(4)}.part"
    try:
        yield part
        part.rename(target)
        sync(parent)
    finally:
        _remove(part)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _copy(file: BinaryIO, root: Path, name: str) -> Copied:
    """To a new file below `root`, on disk when this returns."""
    target = root / name
    target.parent.mkdir(exist_ok=True, mode=0o700)
    source = _Hashing(file)
    with open(target, "xb", opener=lambda path, flags: os.open(path, flags, 0o600)) as copy:
        size = 0
        while block := source.read(_BLOCK):
            size += copy.write(block)
        copy.flush()
        os.fsync(copy.fileno())
    sync(target.parent)
    return Copied(path=name, bytes=size, sha256=source.digest.hexdigest())


def _check_database(path: Path) -> None:
    with _as_ours(), closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        found = str(connection.execute("PRAGMA integrity_check(1)").fetchone()[0])
    if found != "ok":
        raise StorageFailed(f"the database is damaged ({found:.200}): take another backup")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise _damaged(f"it has no {path.name}, so it was not finished") from None


def _is_tar(path: Path) -> bool:
    return path.suffix == ".tar"


@contextmanager
def _as_ours() -> Iterator[None]:
    """What SQLite says, as StorageFailed."""
    try:
        yield
    except sqlite3.Error as error:
        raise StorageFailed(f"the database cannot be copied: {error}") from error


@contextmanager
def _explained(target: Path) -> Iterator[None]:
    """What the system says, as DiskFull or StorageFailed."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise DiskFull(f"no room for {target}: make room, or choose another disk") from error
        raise StorageFailed(f"{error.filename or target} cannot be copied: {error.strerror}") from error
