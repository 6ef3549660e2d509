"""Who else is there: other computers, other users, and what we are built from. A18, A24, A25."""

import stat
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.version import Version
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.server.attacks.conftest import Source
from tests.server.attacks.serving import Attacked
from tests.server.serving import Serving, no_workers, serving
from wanvideo.cli.main import main

REPOSITORY = Path(__file__).parents[3]
TOKEN = "a-token-that-is-long-enough"


# --- A18: other computers --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Open to other computers, with a token."""
    with serving(tmp_path_factory.mktemp("exposed"), workers=no_workers, host="0.0.0.0", token=TOKEN) as server:
        yield server


def test_a18_without_a_token_other_computers_are_not_served(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--host", "0.0.0.0", "--port", "0", "--data-dir", str(tmp_path)]) == 2
    assert "token" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a18_every_address_asks_for_the_token(server: Attacked, exposed: Serving) -> None:
    addresses = server.operations()
    assert len(addresses) > 100
    for method, path in [*addresses, ("GET", "/"), ("GET", "/assets/x.js"), ("GET", "/openapi.json"), ("GET", "/x")]:
        answer = exposed.client.request(method, path)
        assert answer.status_code == (200 if path == "/healthz" else 401), (method, path)
        assert answer.headers.get("www-authenticate", "Bearer") == "Bearer"
    with pytest.raises(InvalidStatus) as refused, connect(f"{exposed.url.replace('http', 'ws')}/ws"):
        pass
    assert refused.value.response.status_code == 403


def test_a18_guessing_ends_soon_and_nothing_tells_how_near_it_was(
    exposed: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    guesses = [TOKEN[:-1], f"{TOKEN}x", TOKEN.upper(), "-", "x" * 10_000, "\xff", *map(str, range(10))]
    answers = [
        exposed.client.get("/api/v1/queue", headers={b"authorization": f"Bearer {guess}".encode("latin-1")})
        for guess in guesses
    ]
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) == {401, 429}
    assert statuses[-1] == 429
    assert int(answers[-1].headers["retry-after"]) > 0
    assert len({answer.text for answer in answers if answer.status_code == 401}) == 1
    assert TOKEN not in caplog.text


# --- A24: other users ------------------------------------------------------------------------------------------------


def test_a24_nobody_else_can_look_into_the_data(server: Attacked, made: dict[str, Any]) -> None:
    """The server was started with a umask of 0."""
    assert stat.S_IMODE(server.data.stat().st_mode) == 0o700
    for path in (*(server.data / "inputs").iterdir(), *server.data.glob("*.json")):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    assert not list((server.home / "tmp").iterdir())


# --- A25: what we are built from -------------------------------------------------------------------------------------

# The first versions without what is known; see the table at the end of the threat model.
LEAST = {"starlette": "1.3.1", "python-multipart": "0.0.32", "pillow": "12.3.0"}
PINNED = LEAST | {"torch": "2.10", "transformers": "5.3.0"}


def test_a25_what_strangers_bytes_go_through_is_new_enough() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    needed = {each.name: each.specifier for each in map(Requirement, project["dependencies"])}
    for name, least in LEAST.items():
        (bound,) = [Version(each.version) for each in needed[name] if each.operator == ">="]
        assert bound >= Version(least), name


def test_a25_every_version_is_pinned() -> None:
    lines = (REPOSITORY / "constraints.txt").read_text("utf-8").splitlines()
    found = (line.split("==") for line in lines if line and not line.startswith("#"))
    pins = {name.lower().replace("_", "-"): version for name, version in found}
    for name, least in PINNED.items():
        assert Version(pins[name]) >= Version(least), name
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    assert {Requirement(each).name for each in (*project["dependencies"], *extras["engine"])} <= pins.keys()


def test_a25_nothing_is_installed_while_it_runs(sources: Mapping[Path, Source]) -> None:
    """Words that would be the first ones of a command."""
    for path, source in sources.items():
        assert not source.words & {"pip", "pip3", "uv", "npm", "npx", "git", "curl", "wget", "sh", "bash"}, path
