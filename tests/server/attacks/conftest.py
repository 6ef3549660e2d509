"""One server for all attacks: it has to outlive them."""

import ast
import io
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from PIL import Image

import wanvideo
from tests.hub.loopback import LoopbackHub, running_hub
from tests.server.attacks.serving import Attacked, attacked
from tests.server.attacks.slots import Slot, slots

CANARY = "the canary sings"
CAMERA = "Canary Camera 3000"  # in the EXIF of an upload
MARKUP = "<img src=x onerror=alert(1)>"

# Paths, as they are and percent-encoded once more by the client.
TRAVERSAL = (
    "../canary.txt", "../../../../../../../../etc/passwd", "/etc/passwd", "..%2f..%2fcanary.txt",
    "..%252f..%252fcanary.txt", "%2e%2e/%2e%2e/canary.txt", "..\\..\\canary.txt", "..%5c..%5ccanary.txt",
    "....//....//canary.txt", "..;/..;/canary.txt", "C:\\canary.txt", "//127.0.0.1/canary.txt", "file:///etc/passwd",
    "canary.txt%00.png", "..\u2215..\u2215canary.txt", "\uff0e\uff0e/canary.txt", "..%c0%af..%c0%afcanary.txt",
    "CON", ".", "..", "~/canary.txt", "a" * 4096, "inputs/../../canary.txt",
)  # fmt: skip
# What other programs take for more than a text: paths, options and words of a shell, SQL, lines, markup and formats.
INJECTION = (
    "../../canary.txt",
    "-i /etc/passwd -y canary.txt; touch canary2.txt #$(touch canary2.txt)' OR 1=1; DROP TABLE jobs; --",
    'a"\r\nX-Injected: yes\r\n{"event": "forged"}', f"{MARKUP}{{0.__class__}}%s%n",
)  # fmt: skip


@dataclass(frozen=True)
class Listener:
    """A port that nobody has any business to call."""

    url: str
    calls: list[bytes] = field(default_factory=list)


@pytest.fixture(scope="session")
def listener() -> Iterator[Listener]:
    with socket.create_server(("127.0.0.1", 0)) as port:
        found = Listener(f"http://127.0.0.1:{port.getsockname()[1]}/canary")

        def listen() -> None:
            while True:
                try:
                    connection, _ = port.accept()
                except OSError:
                    return
                found.calls.append(connection.recv(4096))
                connection.close()

        thread = threading.Thread(target=listen)
        thread.start()
        yield found
        port.shutdown(socket.SHUT_RDWR)
        thread.join(5)


@pytest.fixture(scope="session")
def hub() -> Iterator[LoopbackHub]:
    """The hub that the server knows, in the hands of somebody else."""
    with running_hub() as hub:
        yield hub


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, hub: LoopbackHub) -> Iterator[Attacked]:
    limits = {
        "WANVIDEO_BODY_SECONDS": "2",
        "WANVIDEO_MAX_SOCKETS": "50",
        "HF_ENDPOINT": hub.endpoint,
    }
    home = tmp_path_factory.mktemp("attacked")
    (home / "canary.txt").write_text(CANARY)
    with attacked(home, **limits) as server:
        yield server


@pytest.fixture(scope="session")
def made(server: Attacked) -> dict[str, Any]:
    """A finished video, from a photo that says where it was taken; then the queue is paused."""
    form = {"model_type": "i2v-A14B-demo", "prompt": "a circle", "steps": "1", "frames": "5", "seed": "1"}
    answer = server.client.post("/api/v1/generation/submit", data=form, files={"image": ("me.jpg", photo())})
    task = answer.json()["task_id"]
    end = time.monotonic() + 60
    while (found := server.client.get(f"/api/v1/queue/{task}").json())["status"] != "completed":
        assert found["status"] in ("pending", "processing"), found
        assert time.monotonic() < end, found
        time.sleep(0.1)
    server.client.post("/api/v1/queue/pause", json={})
    assert isinstance(found, dict)
    return found


def photo() -> bytes:
    exif = Image.Exif()
    exif[0x0110] = CAMERA
    exif.get_ifd(0x8825)[1] = "N"
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(file, "JPEG", exif=exif, comment=CAMERA.encode())
    return file.getvalue()


@dataclass(frozen=True)
class Tried:
    """What came of a text in one place."""

    slot: Slot
    text: str
    answer: httpx2.Response

    def __str__(self) -> str:
        where = f"{self.slot.method} {self.slot.path} {self.slot.place} {self.slot.name}"
        return f"{where} = {self.text[:60]!r}: {self.answer.status_code} {self.answer.text[:300]}"


@pytest.fixture(scope="session")
def tried(server: Attacked, made: dict[str, Any], listener: Listener) -> list[Tried]:
    """Every nasty text in every place of the API; a third of the paths in each place of an address."""
    found = [each for each in slots(server.client.get("/openapi.json").json()) if not each.path.endswith("/stream")]
    assert len(found) > 100
    return [
        Tried(slot, text, slot.fill(server.client, text, accept="text/html,*/*"))
        for number, slot in enumerate(sorted(found, key=lambda slot: (slot.place, slot.name)))
        for text in (*(TRAVERSAL[number % 3 :: 3] if slot.place == "path" else ()), *INJECTION, listener.url)
    ]


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a file of the package names."""

    modules: frozenset[str]  # that it imports
    calls: frozenset[tuple[str, str]]  # of `owner.name`, and of `name` with an empty owner
    keywords: frozenset[str]  # of any call
    words: frozenset[str]  # its string constants


def source_of(text: str) -> Source:
    """Trees are let go at once: those of the whole package are a million objects."""
    modules, calls, keywords, words = set[str](), set[tuple[str, str]](), set[str](), set[str]()
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Import(names=names):
                modules.update(each.name.partition(".")[0] for each in names)
            case ast.ImportFrom(module=str(module)):
                modules.add(module.partition(".")[0])
            case ast.Call(func=called):
                keywords.update(each.arg for each in node.keywords if each.arg is not None)
                match called:
                    case ast.Name(id=name):
                        calls.add(("", name))
                    case ast.Attribute(value=ast.Name(id=owner), attr=name):
                        calls.add((owner, name))
            case ast.Constant(value=str(word)):
                words.add(word)
    return Source(
        modules=frozenset(modules), calls=frozenset(calls), keywords=frozenset(keywords), words=frozenset(words)
    )


@pytest.fixture(scope="session")
def sources() -> Mapping[Path, Source]:
    """The package, file by file."""
    files = Path(wanvideo.__file__).parent.rglob("*.py")
    return {path: source_of(path.read_text("utf-8")) for path in files}


@pytest.fixture
def outside(server: Attacked) -> Path:
    """A file that the API must neither read, nor change, nor remove."""
    return server.home / "canary.txt"
