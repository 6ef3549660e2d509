"""What a hub says is checked before anything uses it."""

from typing import Any

import pytest

from wanvideo.errors import DownloadNotFound, DownloadRefused, InvalidRequest
from wanvideo.weights.download.hub import Hub, HubFile, Listing, by_repository, check_repo_id, expand, parse_listing
from wanvideo.weights.variants import RemoteFiles

COMMIT = "c" * 40


def listing(*paths: str) -> Listing:
    files = tuple(HubFile(repo_id="a/b", commit=COMMIT, path=path, nbytes=1, digest="0" * 64) for path in paths)
    return Listing(repo_id="a/b", revision="main", commit=COMMIT, files=files)


def answer(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"sha": COMMIT, "siblings": list(entries)}


def entry(path: str, **more: object) -> dict[str, Any]:
    return {"rfilename": path, "size": 3, "blobId": "a" * 40} | more


@pytest.mark.parametrize(
    "path",
    ["../x.json", "/etc/x.json", "a/../../x.json", "a\\b.json", "a//b.json", "a\0.json", "C:x.json", "a./b.json"],
)
def test_a_name_that_could_leave_the_cache_is_refused(path: str) -> None:
    with pytest.raises(DownloadRefused, match="could leave the cache"):
        parse_listing("a/b", "main", answer(entry(path)))


@pytest.mark.parametrize(
    "value",
    [None, [], {}, {"sha": "../..", "siblings": []}, {"sha": COMMIT}, answer(entry("a.json", blobId="../../evil"))],
)
def test_what_is_no_list_of_files_with_hashes_is_refused(value: object) -> None:
    with pytest.raises(DownloadRefused):
        parse_listing("a/b", "main", value)


def test_large_files_have_their_own_hash_and_size() -> None:
    lfs = {"sha256": "f" * 64, "size": 10**10, "pointerSize": 134}
    (file,) = parse_listing("a/b", "main", answer(entry("w.safetensors", lfs=lfs))).files
    assert (file.digest, file.nbytes, file.hash_kind) == ("f" * 64, 10**10, "sha256")


@pytest.mark.parametrize("path", ["run.py", "model.bin", "model.ckpt", "model.pth", "w.safetensors.py", "pickle.pkl"])
def test_code_and_pickles_are_not_even_listed(path: str) -> None:
    assert parse_listing("a/b", "main", answer(entry(path))).files == ()


def test_a_star_stands_for_anything_within_one_folder() -> None:
    here = listing("x.json", "a/x.json", "a/y.safetensors", "a/b/x.json")
    assert [file.path for file in expand(["*/*.json"], here)] == ["a/x.json"]
    assert [file.path for file in expand(["a/*", "a/x.json"], here)] == ["a/x.json", "a/y.safetensors"]


def test_a_pattern_without_a_file_is_an_error_that_names_it() -> None:
    with pytest.raises(DownloadNotFound, match=r"vae/\*\.safetensors"):
        expand(["vae/*.safetensors"], listing("x.json"))


def test_each_repository_is_listed_once() -> None:
    wanted = [RemoteFiles(repo_id="a/b", paths=("x",)), RemoteFiles(repo_id="c/d", paths=("y",))]
    assert by_repository([*wanted, RemoteFiles(repo_id="a/b", paths=("x", "z"))]) == {"a/b": ("x", "z"), "c/d": ("y",)}


@pytest.mark.parametrize("repo_id", ["..", "a", "a/b/c", "../b", "a/..", "a/b--c", "a/b.git", "a b/c", "/a/b", ""])
def test_a_repository_has_an_owner_and_a_plain_name(repo_id: str) -> None:
    with pytest.raises(DownloadRefused):
        check_repo_id(repo_id)


@pytest.mark.parametrize("endpoint", ["", "huggingface.co", "file:///etc", "ftp://x", "https://me:secret@x"])
def test_an_endpoint_is_a_web_address(endpoint: str) -> None:
    with pytest.raises(InvalidRequest):
        Hub(endpoint=endpoint)


@pytest.mark.parametrize(
    ("url", "followed"),
    [
        ("https://cdn-lfs.huggingface.co/x", True),
        ("https://cas-bridge.xethub.hf.co/x", True),
        ("https://huggingface.co/x", True),
        ("http://cdn-lfs.huggingface.co/x", False),
        ("https://evilhuggingface.co/x", False),
        ("https://huggingface.co.evil.example/x", False),
        ("https://huggingface.co@evil.example/x", False),
        ("https://me@huggingface.co/x", False),
        ("https://127.0.0.1/x", False),
        ("https://[::1]/x", False),
        ("http://169.254.169.254/latest", False),
        ("file:///etc/passwd", False),
    ],
)
def test_redirects_are_followed_to_the_hub_and_its_cdn_alone(url: str, followed: bool) -> None:
    assert Hub().allows(url) is followed


def test_the_token_goes_to_the_hub_itself_over_a_line_that_nobody_reads() -> None:
    hub = Hub(token="hf_secret")
    assert hub.sends_token_to("https://huggingface.co/api")
    for other in ("https://cdn-lfs.huggingface.co/x", "http://huggingface.co/x", "https://huggingface.co:8443/x"):
        assert not hub.sends_token_to(other)
    assert not Hub(endpoint="http://hub.example", token="hf_secret").sends_token_to("http://hub.example/x")
    assert "secret" not in repr(hub)
