"""A large file is written once, to where it stays."""

import os
import socket
import time
from pathlib import Path

import pytest

from tests.server.serving import Serving, no_workers, serving
from wanvideo.server.receiving import PREFIX
from wanvideo.weights.places import DEMO_FOLDER

UPLOAD = "/api/v1/lora/upload"
LORA = (DEMO_FOLDER / "loras" / "slanted.safetensors").read_bytes()


def library(server: Serving) -> Path:
    folder = server.parts.sources.library.folder
    assert folder is not None
    return folder


def head(server: Serving, length: int) -> bytes:
    port = server.parts.settings.port
    lines = (f"POST {UPLOAD} HTTP/1.1", f"Host: localhost:{port}", f"Content-Length: {length}")
    kind = ("Content-Type: multipart/form-data; boundary=x", "")
    part = ("--x", 'Content-Disposition: form-data; name="file"; filename="a"', "", "")
    return "\r\n".join((*lines, *kind, *part)).encode()


def test_a_file_goes_to_its_disk_as_it_comes_and_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "tmp"
    elsewhere.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(elsewhere))
    with serving(tmp_path, workers=no_workers) as server:
        with socket.create_connection(("127.0.0.1", server.parts.settings.port)) as connection:
            connection.sendall(head(server, 50_000_000) + bytes(8_000_000))
            end = time.monotonic() + 10
            while not [path for path in library(server).glob(f"{PREFIX}*/arrived") if path.stat().st_size > 5_000_000]:
                assert time.monotonic() < end
                time.sleep(0.02)
            (place,) = library(server).glob(f"{PREFIX}*")
            assert (place.stat().st_mode & 0o777, (place / "arrived").stat().st_mode & 0o777) == (0o700, 0o600)
            assert server.get("/api/v1/lora/list")["total_count"] == 1  # of the package: nothing half is shown
        end = time.monotonic() + 10
        while list(library(server).iterdir()):  # who sent it is gone
            assert time.monotonic() < end
            time.sleep(0.02)
        assert not list(elsewhere.iterdir())


def test_the_name_may_come_before_or_after_the_file(fresh: Serving) -> None:
    for name, parts in (("first", ("name", "file")), ("second", ("file", "name"))):
        bodies: dict[str, tuple[str | None, str | bytes]] = {"name": (None, name), "file": ("x.safetensors", LORA)}
        answer = fresh.client.post(UPLOAD, files=[(part, bodies[part]) for part in parts])
        assert answer.json()["name"] == name, answer.text
    assert sorted(path.name for path in library(fresh).iterdir()) == ["first.safetensors", "second.safetensors"]


@pytest.mark.parametrize(
    ("files", "status"),
    [
        ([("file", ("a", LORA)), ("file", ("b", LORA))], 400),
        ([("other", ("a", LORA))], 400),
        ([("name", (None, "x"))], 400),
        ([("name", (None, "x" * 2000)), ("file", ("a", LORA))], 413),
        ([("name", (None, "x" * 200)), ("file", ("a", LORA))], 422),
        ([(f"n{i}", (None, "x")) for i in range(11)] + [("file", ("a", LORA))], 400),
    ],
    ids=["two files", "another field", "no file", "long text", "long name", "many texts"],
)
def test_another_form_is_refused_and_leaves_nothing(
    fresh: Serving, files: list[tuple[str, tuple[str | None, str | bytes]]], status: int
) -> None:
    answer = fresh.client.post(UPLOAD, files=files)
    assert answer.status_code == status, answer.text
    assert not list(library(fresh).glob("*"))


def test_a_form_that_is_cut_off_is_refused(fresh: Serving) -> None:
    kind = {"content-type": "multipart/form-data; boundary=x"}
    body = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + LORA
    for content in (body, body[:40], b"", b"--y--"):
        answer = fresh.client.post(UPLOAD, content=content, headers=kind)
        assert (answer.status_code, answer.json()["code"]) == (400, "BAD_REQUEST")
    assert fresh.client.post(UPLOAD, json={}).status_code == 400
    assert not list(library(fresh).glob("*"))


def test_a_file_may_have_so_many_bytes(tmp_path: Path) -> None:
    with serving(tmp_path, workers=no_workers, max_lora_bytes=len(LORA) - 1) as server:
        answer = server.client.post(UPLOAD, files={"file": ("a", LORA)})
        assert (answer.status_code, answer.json()["code"]) == (413, "TOO_LARGE")


def test_a_nearly_full_disk_takes_no_upload(tmp_path: Path) -> None:
    with serving(tmp_path, workers=no_workers, min_free_bytes=2**62) as server:
        for path in (UPLOAD, "/api/v1/outputs/settings"):
            answer = server.client.post(path, files={"file": ("a", LORA)})
            assert (answer.status_code, answer.json()["code"]) == (507, "DISK_FULL")


def test_what_a_killed_server_left_is_removed(tmp_path: Path) -> None:
    for folder in (tmp_path / "loras", tmp_path / "data" / "incoming"):
        (folder / f"{PREFIX}0123").mkdir(parents=True)
        (folder / f"{PREFIX}0123" / "file").write_bytes(b"half")
        os.utime(folder / f"{PREFIX}0123")
    with serving(tmp_path, workers=no_workers):
        assert not list(tmp_path.rglob(f"{PREFIX}*"))
