"""What the operator may set."""

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from wanvideo.server.settings import Settings

TOKEN = SecretStr("x" * 32)


def test_the_default_is_this_computer_alone() -> None:
    settings = Settings()
    assert (settings.host, settings.port, settings.on_loopback) == ("127.0.0.1", 9000, True)
    assert settings.url == "http://127.0.0.1:9000"


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WANVIDEO_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("WANVIDEO_PORT", "9100")
    monkeypatch.setenv("WANVIDEO_COMPAT_ORIGIN", "http://localhost:3000, http://127.0.0.1:8080")
    settings = Settings()
    assert (settings.data_dir, settings.port) == (tmp_path, 9100)
    assert settings.compat_origin == ("http://localhost:3000", "http://127.0.0.1:8080")


def test_folders_are_the_same_wherever_a_process_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that read uploads work at the root of the file system."""
    monkeypatch.chdir(tmp_path)
    settings = Settings(data_dir=Path("data"), outputs_dir=Path("videos"))
    assert (settings.data_dir, settings.outputs_dir) == (tmp_path / "data", tmp_path / "videos")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "example.org"])
def test_other_computers_need_a_token(host: str) -> None:
    with pytest.raises(ValidationError, match="there is no token"):
        Settings(host=host)
    assert Settings(host=host, token=TOKEN).warnings
    assert "without a token" in Settings(host=host, insecure=True).warnings[0]


def test_a_short_token_is_refused_and_never_shown() -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(token=SecretStr("hunter2"))
    assert "hunter2" not in str(caught.value)
    assert "x" * 32 not in repr(Settings(token=TOKEN))


@pytest.mark.parametrize("origin", ["*", "null", "localhost:3000", "http://a/b"])
def test_a_compat_origin_must_be_one(origin: str) -> None:
    with pytest.raises(ValidationError, match="is no origin"):
        Settings(compat_origin=(origin,))


def test_an_enhancer_needs_its_model() -> None:
    with pytest.raises(ValidationError, match="name of its model"):
        Settings(enhancer_url="http://localhost:11434/v1")
