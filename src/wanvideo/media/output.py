"""Where results go: checked before anything is computed, then published whole or not at all."""

import errno
import os
import secrets
import shutil
from collections.abc import Iterator, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from wanvideo.errors import DiskFull, EncoderMissing, OutputNotWritable

VIDEO_SUFFIXES: Final = frozenset({".mp4"})
STILL_SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".webp"})
CODEC: Final = "libx264"

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def check_writable(path: str | os.PathLike[str], *, frames: int | None = None) -> None:
    """Raise, before the work is done, what saving `frames` frames (None: not known yet) to `path` would raise after it.

    `OutputNotWritable` or `DiskFull`; `EncoderMissing` where there is no H.264 encoder. A file is really created in the
    folder and removed again, since permissions alone do not tell.
    """
    path = Path(path)
    check_name(path, frames)
    if path.suffix.lower() in VIDEO_SUFFIXES:
        require_encoder()
    with writing(path):
        _create_beside(path).unlink()


def check_name(path: Path, frames: int | None = None, suffixes: Set[str] = VIDEO_SUFFIXES | STILL_SUFFIXES) -> None:
    """Raise `OutputNotWritable` unless `path` names a file that we write, in a folder that exists."""
    suffix = path.suffix.lower()
    with writing(path):
        if "\0" in str(path):
            raise _refused(path, "holds a NUL character: choose another name")
        if path.is_dir():
            raise _refused(path, f"is a folder: add a file name, such as {path / 'video.mp4'}")
        if suffix not in suffixes:
            ending = f"ends in {path.suffix}" if path.suffix else "has no ending"
            raise _refused(path, f"{ending}: name it .mp4 for a video, or .png, .jpg or .webp for a single frame")
        if suffix in STILL_SUFFIXES and frames is not None and frames > 1:
            raise _refused(path, f"holds one picture, and there are {frames} frames: name it .mp4, or make 1 frame")
        if not path.parent.is_dir():
            raise _refused(path, f"cannot be written: there is no folder {path.parent}; create it first")
        if path.exists() and not path.is_file():
            raise _refused(path, "is a device or a pipe: name a regular file")
        if path.is_file() and not os.access(path, os.W_OK):
            raise _refused(path, "exists and is write-protected: choose another name or change its permissions")


def require_encoder() -> None:
    """Raise `EncoderMissing` where videos cannot be encoded at all."""
    try:
        from av.codec import Codec
    except ImportError as reason:
        raise EncoderMissing("PyAV is not installed: pip install 'wanvideo[engine]'") from reason
    try:
        Codec(CODEC, "w")
    except ValueError as reason:
        remedy = "pip install --force-reinstall --only-binary av av"
        raise EncoderMissing(f"this build of PyAV has no {CODEC} encoder; the official wheels do: {remedy}") from reason


@contextmanager
def publish(path: Path, suffixes: Set[str]) -> Iterator[Path]:
    """Give a new file beside `path` to write to; it becomes `path` when the block succeeds and vanishes otherwise."""
    check_name(path, suffixes=suffixes)
    with writing(path):
        part = _create_beside(path)
    try:
        yield part
        with writing(path):
            with part.open("rb+") as file:
                os.fsync(file.fileno())  # or a power cut could leave the new name on missing bytes
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the system says while `path` is written into `DiskFull` or `OutputNotWritable`."""
    try:
        yield
    except OSError as reason:
        if reason.errno in _FULL:
            raise _disk_full(path) from reason
        raise _refused(path, f"cannot be written ({reason.strerror}): choose another name or folder") from reason


def _create_beside(path: Path) -> Path:
    """An empty file in the same folder, which a rename can turn into `path`; its mode follows the umask.

    Named for the process, so that who survives it may clean up.
    """
    part = path.absolute().parent / f".wan-{os.getpid()}-{secrets.token_hex(8)}.part"
    os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    return part


def _disk_full(path: Path) -> DiskFull:
    free = shutil.disk_usage(path.absolute().parent).free
    return DiskFull(
        f"no room to write {path}, {free / 2**20:.1f} MiB free: free some space, or choose a folder on another disk",
        facts={"path": str(path), "free_bytes": free},
    )


def _refused(path: Path, why: str) -> OutputNotWritable:
    return OutputNotWritable(f"{path} {why}", facts={"path": str(path)})
