"""Which server is meant."""

import stat
from pathlib import Path

import pytest

from wanvideo.client import Client, NoServer, find_server
from wanvideo.client.find import DATA_VARIABLE, TOKEN_VARIABLE, URL_VARIABLE
from wanvideo.jobs.folder import DataFolder
from wanvideo.jobs.lock import Address, announced, is_locked, locked

HERE = Address(url="http://127.0.0.1:9123", token="secret")


def test_a_running_server_is_found_and_one_that_was_killed_is_not(tmp_path: Path) -> None:
    folder, environment = DataFolder(tmp_path), {DATA_VARIABLE: str(tmp_path)}
    assert find_server(environment=environment) is None
    with locked(folder), announced(folder, HERE):
        found = find_server(environment=environment)
        assert found is not None
        assert (found.url, found.token, found.named, found.on_loopback) == (HERE.url, HERE.token, False, True)
        assert stat.S_IMODE(folder.address.stat().st_mode) == 0o600
        left = folder.address.read_bytes()
    assert not folder.address.exists()
    folder.address.write_bytes(left)
    assert find_server(environment=environment) is None
    with locked(folder):  # the next one, which does not listen yet
        assert find_server(environment=environment) is None


def test_looking_for_a_server_keeps_none_from_starting(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    with locked(folder):
        pass
    assert not is_locked(folder)
    with locked(folder):
        assert is_locked(folder)


def test_what_is_named_comes_first(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    environment = {DATA_VARIABLE: str(tmp_path), URL_VARIABLE: "http://gpu.example:9000/", TOKEN_VARIABLE: "theirs"}
    with locked(folder), announced(folder, HERE):
        found = find_server(environment=environment)
        named = find_server("http://localhost:1", "mine", environment)
    assert found is not None
    assert named is not None
    assert (found.url, found.token, found.named, found.on_loopback) == (
        "http://gpu.example:9000",
        "theirs",
        True,
        False,
    )
    assert (named.url, named.token, named.on_loopback) == ("http://localhost:1", "mine", True)


def test_without_a_server_the_client_says_how_to_start_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    with pytest.raises(NoServer, match="wan serve"):
        Client()
