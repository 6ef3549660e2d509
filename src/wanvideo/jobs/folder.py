"""Where a server keeps what it must not lose."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ID: Final = re.compile(r"[0-9a-z]{8,40}")
_OUTPUTS_NOTE: Final = "outputs-folder"  # name of a file


@dataclass(frozen=True, slots=True)
class DataFolder:
    """A server's folder. Every path in it is made here, from ids that cannot lead out of it."""

    root: Path
    chosen_outputs: Path | None = None  # None: inside

    @classmethod
    def as_left(cls, root: Path) -> "DataFolder":
        """With the outputs that the last server there had."""
        note = root / _OUTPUTS_NOTE
        return cls(root, Path(note.read_text("utf-8")) if note.is_file() else None)

    @property
    def database(self) -> Path:
        return self.root / "wanvideo.db"

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    @property
    def address(self) -> Path:
        """Where the server is that works here; written and removed by it."""
        return self.root / "server.json"

    @property
    def node(self) -> Path:
        """What the process that works here is called among others of one database."""
        return self.root / "node"

    @property
    def reserve(self) -> Path:
        """Room on the disk for when it is full."""
        return self.root / "reserve"

    @property
    def inputs(self) -> Path:
        """Pictures that requests begin with."""
        return self.root / "inputs"

    @property
    def outputs(self) -> Path:
        """Finished videos. A chosen folder may be anywhere, and hold what is not ours."""
        return self.chosen_outputs or self.root / "outputs"

    @property
    def incoming(self) -> Path:
        """What is looked at once, and not kept."""
        return self.root / "incoming"

    @property
    def thumbnails(self) -> Path:
        return self.root / "thumbnails"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def jobs(self) -> Path:
        """A folder for each job that has begun and is not done."""
        return self.root / "jobs"

    def job(self, job: str) -> Path:
        """What a job needs to go on. Raises ValueError for what is no id."""
        if not ID.fullmatch(job):
            raise ValueError(f"{job!r:.60} is no id of a job")
        return self.jobs / job

    def thumbnail(self, job: str) -> Path:
        return self.thumbnails / f"{self.job(job).name}_thumb.jpg"

    def note_outputs(self) -> None:
        """Write down which were chosen, for programs that are not told, such as those that make backups."""
        note = self.root / _OUTPUTS_NOTE
        if self.chosen_outputs is None:
            note.unlink(missing_ok=True)
        else:
            note.touch(0o600)
            note.write_text(str(self.chosen_outputs), "utf-8")

    def make(self) -> None:
        """Make what is missing, for nobody but this user. Raises OSError."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (self.inputs, self.thumbnails, self.logs, self.jobs):
            folder.mkdir(exist_ok=True)
        self.outputs.mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o700)


def sync(path: Path) -> None:
    """So that a file, or the names that were given in a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
