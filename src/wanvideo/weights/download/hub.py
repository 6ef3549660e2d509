"""The Hugging Face hub as we see it: its settings, and the files of a repository at one commit. No torch, no network.

Everything that a hub says is checked here before any other module uses it: a name of a file becomes a path on disk, and
a hash becomes the name of one.
"""

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from wanvideo.errors import DownloadNotFound, DownloadRefused, InvalidRequest
from wanvideo.weights.places import hub_cache
from wanvideo.weights.variants import RemoteFiles

DEFAULT_ENDPOINT: Final = "https://huggingface.co"
MIRRORS_VARIABLE: Final = "WAN_HUB_MIRRORS"  # addresses of other hubs, asked in this order when the first one fails
# Where the hub sends those who ask for the content of a large file (cdn-lfs.huggingface.co, cas-bridge.xethub.hf.co).
CDN_HOSTS: Final = ("huggingface.co", "hf.co")
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})

# What can hold weights, or describe them. Nothing else is ever fetched: no code, and nothing that is pickled.
_SUFFIXES: Final = (".safetensors", ".gguf", ".json", ".model", ".txt")
_REPO_ID: Final = re.compile(r"[A-Za-z0-9_][\w.-]{0,95}/[A-Za-z0-9_][\w.-]{0,95}", re.ASCII)
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_REVISION: Final = re.compile(r"[A-Za-z0-9_][\w.-]{0,127}(/[A-Za-z0-9_][\w.-]{0,127})*", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hub:
    """Where to ask, and as whom. Raises InvalidRequest for an endpoint that is no web address."""

    endpoint: str = DEFAULT_ENDPOINT
    token: str | None = field(default=None, repr=False)  # goes to the endpoint's own host alone
    offline: bool = False
    redirect_hosts: tuple[str, ...] = CDN_HOSTS  # and all hosts below them

    def __post_init__(self) -> None:
        address = urlsplit(self.endpoint)
        if address.scheme not in ("http", "https") or not address.hostname or address.username or address.query:
            raise InvalidRequest(
                f"{self.endpoint!r:.200} is no address of a hub: give one such as {DEFAULT_ENDPOINT}",
                facts={"endpoint": self.endpoint},
            )

    @property
    def host(self) -> str:
        return urlsplit(self.endpoint).hostname or ""

    @property
    def on_loopback(self) -> bool:
        return self.host in LOOPBACK

    def sends_token_to(self, url: str) -> bool:
        """Only to the endpoint itself, and only where nobody on the way can read it."""
        here, there = urlsplit(self.endpoint), urlsplit(url)
        same = (here.scheme, here.hostname, here.port) == (there.scheme, there.hostname, there.port)
        return self.token is not None and same and (there.scheme == "https" or self.on_loopback)

    def allows(self, url: str) -> bool:
        """Whether a redirect to `url` is followed: to the hub and its CDN, by no weaker protocol; from this computer to
        this computer."""
        address = urlsplit(url)
        host = address.hostname or ""
        if address.username is not None or address.password is not None:
            return False
        if host in LOOPBACK:
            return self.on_loopback and address.scheme in ("http", "https")
        if address.scheme != "https" and not (address.scheme == "http" and self.endpoint.startswith("http:")):
            return False
        return host == self.host or any(host == known or host.endswith(f".{known}") for known in self.redirect_hosts)

    def listing_url(self, repo_id: str, revision: str) -> str:
        return f"{self.endpoint.rstrip('/')}/api/models/{repo_id}/revision/{quote(revision, safe='')}?blobs=true"

    def file_url(self, file: "HubFile") -> str:
        return f"{self.endpoint.rstrip('/')}/{file.repo_id}/resolve/{file.commit}/{quote(file.path)}"


class HashKind(StrEnum):
    """What the hub knows of a file: large files have their own hash, small ones that of git."""

    SHA256 = "sha256"
    GIT_SHA1 = "git-sha1"


@dataclass(frozen=True, slots=True, kw_only=True)
class HubFile:
    """One file of a repository, at one commit."""

    repo_id: str
    commit: str  # 40 hexadecimal digits
    path: str  # in the repository; checked, so that it may become a path on disk
    nbytes: int
    digest: str  # of the content: hexadecimal, SHA-256 or git's SHA-1 of a blob; also the name of the blob in the cache

    @property
    def hash_kind(self) -> HashKind:
        return HashKind.SHA256 if len(self.digest) == 64 else HashKind.GIT_SHA1

    def __str__(self) -> str:
        return f"{self.repo_id}/{self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """All files of a repository at one commit."""

    repo_id: str
    revision: str  # what was asked for
    commit: str  # what that is today
    files: tuple[HubFile, ...]


def check_repo_id(repo_id: str) -> str:
    """`repo_id`, if it can be one. Raises DownloadRefused."""
    if not _REPO_ID.fullmatch(repo_id) or "--" in repo_id or ".." in repo_id or repo_id.endswith((".git", ".", "-")):
        raise DownloadRefused(f"{repo_id!r:.200} is no name of a repository: give owner/name")
    return repo_id


def check_revision(revision: str) -> str:
    """`revision`, if it can be the name of a branch, a tag or a commit. Raises DownloadRefused."""
    if not _REVISION.fullmatch(revision) or ".." in revision:
        raise DownloadRefused(f"{revision!r:.200} is no revision: give a branch, a tag or a commit, such as main")
    return revision


def parse_listing(repo_id: str, revision: str, answer: object) -> Listing:
    """What the hub answers about a repository, as values; files of kinds that are never fetched are left out.

    Raises DownloadRefused for a file without a hash or with a name that could leave the cache.
    """
    fields = answer if isinstance(answer, dict) else {}
    commit, siblings = fields.get("sha"), fields.get("siblings")
    if not isinstance(commit, str) or not _COMMIT.fullmatch(commit) or not isinstance(siblings, list):
        raise DownloadRefused(f"the answer about {repo_id} is no list of files at a commit: is the endpoint a hub?")
    files = tuple(_file(repo_id, commit, entry) for entry in siblings if _is_wanted(entry))
    return Listing(repo_id=repo_id, revision=revision, commit=commit, files=files)


def _file(repo_id: str, commit: str, entry: object) -> HubFile:
    fields: dict[str, Any] = entry if isinstance(entry, dict) else {}
    lfs = fields.get("lfs")
    large: dict[str, Any] = lfs if isinstance(lfs, dict) else {}
    path, nbytes = fields.get("rfilename"), large.get("size", fields.get("size"))
    digest = large.get("sha256") if large else fields.get("blobId")
    if not isinstance(path, str) or type(nbytes) is not int or nbytes < 0:
        raise DownloadRefused(f"the list of {repo_id} has an entry without name or size: {entry!r:.200}")
    if not isinstance(digest, str) or not (_SHA256 if large else _COMMIT).fullmatch(digest):
        raise DownloadRefused(f"the list of {repo_id} has no hash for {path!r:.200}: it could not be verified")
    return HubFile(repo_id=repo_id, commit=commit, path=check_path(path), nbytes=nbytes, digest=digest)


def check_path(path: str) -> str:
    """`path`, if it names a file inside its repository on every system. Raises DownloadRefused."""
    parts = path.split("/")
    strange = any(ord(char) < 32 or char in '\\:*?"<>|\x7f' for char in path)
    if strange or len(path) > 512 or any(part in ("", ".", "..") or part.endswith((".", " ")) for part in parts):
        raise DownloadRefused(f"the repository names a file {path!r:.200}, which could leave the cache: do not use it")
    return path


def _is_wanted(entry: object) -> bool:
    """Whether files of this kind are ever fetched."""
    path = entry.get("rfilename") if isinstance(entry, dict) else None
    return not isinstance(path, str) or path.casefold().endswith(_SUFFIXES)


def expand(wanted: Sequence[str], listing: Listing) -> tuple[HubFile, ...]:
    """The files that the patterns name, each once, in the order of the patterns.

    Raises DownloadNotFound for a pattern that names none.
    """
    found: dict[str, HubFile] = {}
    for pattern in wanted:
        matching = [file for file in listing.files if matches(file.path, pattern)]
        if not matching:
            raise DownloadNotFound(
                f"{listing.repo_id} has no file {pattern} at {listing.commit[:8]}: its files were moved or renamed, "
                "so use another variant, or a newer wanvideo",
                facts={"repo_id": listing.repo_id, "pattern": pattern, "commit": listing.commit},
            )
        found |= {file.path: file for file in matching}
    return tuple(found.values())


def is_digest(text: str) -> bool:
    """Whether this can be the hash of a file, and so the name of a blob."""
    return bool(_SHA256.fullmatch(text) or _COMMIT.fullmatch(text))


def matches(path: str, pattern: str) -> bool:
    """`*` stands for anything within one folder."""
    names, patterns = path.split("/"), pattern.split("/")
    return len(names) == len(patterns) and all(map(fnmatch.fnmatchcase, names, patterns))


def by_repository(wanted: Iterable[RemoteFiles]) -> dict[str, tuple[str, ...]]:
    """Repository -> patterns, so that each is listed once."""
    patterns: dict[str, tuple[str, ...]] = {}
    for files in wanted:
        patterns[files.repo_id] = (*patterns.get(files.repo_id, ()), *files.paths)
    return {check_repo_id(repo_id): tuple(dict.fromkeys(paths)) for repo_id, paths in patterns.items()}


# --- what the environment says ----------------------------------------------------------------------------------------


def usual_hubs(environment: Mapping[str, str], home: Path, endpoint: str | None = None) -> tuple[Hub, ...]:
    """Where to download from, in this order: `endpoint` or `HF_ENDPOINT`, then the mirrors.

    The token is for the endpoint that the environment names, and for no other. Raises InvalidRequest for an address
    that is none.
    """
    usual = environment.get("HF_ENDPOINT") or DEFAULT_ENDPOINT
    offline = _is_true(environment.get("HF_HUB_OFFLINE", ""))
    mirrors = environment.get(MIRRORS_VARIABLE, "").replace(",", " ").split()
    addresses = dict.fromkeys(address.rstrip("/") for address in (endpoint or usual, *mirrors))
    token = _token(environment, home)
    return tuple(
        Hub(endpoint=address, token=token if address == usual.rstrip("/") else None, offline=offline)
        for address in addresses
    )


def _token(environment: Mapping[str, str], home: Path) -> str | None:
    """As huggingface_hub finds it: a variable, else the file that `hf auth login` writes."""
    if _is_true(environment.get("HF_HUB_DISABLE_IMPLICIT_TOKEN", "")):
        return None
    if token := (environment.get("HF_TOKEN") or environment.get("HUGGING_FACE_HUB_TOKEN") or "").strip():
        return token
    homes = {name: environment[name] for name in ("HF_HOME", "XDG_CACHE_HOME") if name in environment}
    path = environment.get("HF_TOKEN_PATH") or str(hub_cache(homes, home).parent / "token")
    try:
        return Path(path).expanduser().read_text("utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def _is_true(text: str) -> bool:
    """As huggingface_hub reads its switches."""
    return text.upper() in ("1", "ON", "YES", "TRUE")
