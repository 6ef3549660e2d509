"""The cache of the Hugging Face hub on disk, as every program that uses the hub has it. No torch.

    <cache>/models--owner--name/blobs/<hash>                 the bytes, named by their hash
                               /snapshots/<commit>/<path>    links to them, under the names of the repository
                               /refs/main                    the commit that `main` was last
           /.locks/models--owner--name/<hash>.lock           held by who writes that blob, other programs included

Ours alone, and ignored by the others: `<hash>.wan-part` and `<hash>.wan-journal` beside the blobs while they are on
their way, and a folder `wanvideo` with what was verified.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from wanvideo.weights.download.disk import Disk
from wanvideo.weights.download.hub import HubFile, check_path, check_repo_id, check_revision


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryCache:
    """The part of a cache that belongs to one repository."""

    cache: Path
    repo_id: str

    def __post_init__(self) -> None:
        check_repo_id(self.repo_id)

    @property
    def name(self) -> str:
        return f"models--{self.repo_id.replace('/', '--')}"

    @property
    def folder(self) -> Path:
        return self.cache / self.name

    @property
    def own(self) -> Path:
        """Where we keep what other programs do not know."""
        return self.folder / "wanvideo"

    def blob(self, digest: str) -> Path:
        return self.folder / "blobs" / digest

    def part(self, digest: str) -> Path:
        return self.folder / "blobs" / f"{digest}.wan-part"

    def journal(self, digest: str) -> Path:
        return self.folder / "blobs" / f"{digest}.wan-journal"

    def snapshot(self, commit: str) -> Path:
        return self.folder / "snapshots" / commit

    def lock(self, digest: str) -> FileLock:
        """Held by the one who writes the blob. The same one that huggingface_hub takes."""
        folder = self.cache / ".locks" / self.name
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / f"{digest}.lock", mode=0o664)

    def commit_of(self, revision: str) -> str | None:
        """What a branch was when it was last looked up."""
        try:
            return (self.folder / "refs" / revision).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return None

    def commits(self) -> list[str]:
        """Those of which there are files."""
        folder = self.folder / "snapshots"
        return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def repository(cache: Path, repo_id: str) -> RepositoryCache:
    return RepositoryCache(cache=cache, repo_id=repo_id)


def paths_of(where: RepositoryCache, commit: str) -> list[str]:
    """Names of the files of a snapshot, also of those whose blob is gone."""
    folder = where.snapshot(commit)
    if not commit or not folder.is_dir():
        return []
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_symlink() or p.is_file())


def size(path: Path) -> int | None:
    """Bytes of a file, through links; None if there is none."""
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError:
        return None


def snapshot_path(cache: Path, file: HubFile) -> Path:
    return repository(cache, file.repo_id).snapshot(file.commit) / check_path(file.path)


def existing(cache: Path, file: HubFile) -> Path | None:
    """The file in this repository's part of the cache, whoever put it there; None if it is not there in full length.

    Caches without symbolic links (Windows) have the bytes in the snapshot and no blob.
    """
    for path in (repository(cache, file.repo_id).blob(file.digest), snapshot_path(cache, file)):
        if size(path) == file.nbytes:
            return path
    return None


def elsewhere(cache: Path, file: HubFile) -> Path | None:
    """The same bytes, by their hash, in the part of another repository."""
    own = repository(cache, file.repo_id).name
    for path in sorted(cache.glob(f"models--*/blobs/{file.digest}")):
        if path.parts[-3] != own and size(path) == file.nbytes:
            return path
    return None


def publish_link(cache: Path, file: HubFile, disk: Disk) -> Path:
    """Let the snapshot name the blob, as it does for other programs."""
    path, blob = snapshot_path(cache, file), repository(cache, file.repo_id).blob(file.digest)
    if blob.exists() and not (path.is_symlink() and path.exists() and path.resolve() == blob.resolve()):
        disk.point(path, blob)
    return path


def set_revision(cache: Path, repo_id: str, revision: str, commit: str, disk: Disk) -> None:
    """Note what a branch is now; a commit needs no note."""
    where = repository(cache, repo_id)
    if revision != commit and where.commit_of(check_revision(revision)) != commit:
        disk.write_whole(where.folder / "refs" / revision, commit.encode("ascii"))


def repositories(cache: Path) -> Iterator[RepositoryCache]:
    """All that are in the cache."""
    for folder in sorted(cache.glob("models--*--*")):
        owner, _, name = folder.name.removeprefix("models--").partition("--")
        if folder.is_dir() and "--" not in name:
            yield repository(cache, f"{owner}/{name}")
