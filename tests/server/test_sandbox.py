"""What a child that opens strangers' files can do, and what it cannot."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from tests.server.serving import Serving
from wanvideo.errors import InvalidImage, InvalidMedia
from wanvideo.media.image import to_array
from wanvideo.media.still import save_image
from wanvideo.server import landlock, sandboxed
from wanvideo.server.errors import NotReady
from wanvideo.server.sandbox import CHILDREN, Sandbox
from wanvideo.server.sandboxed import Limits


@pytest.fixture(scope="module")
def huge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture of 0.1 MB that is 0.2 GB in memory, the most that is decoded."""
    path = tmp_path_factory.mktemp("bomb") / "huge.png"
    Image.new("1", (8192, 8192)).save(path)
    assert path.stat().st_size < 200_000
    return path


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that takes more than a second of any processor."""
    path = tmp_path_factory.mktemp("bomb") / "slow.png"
    rows = np.random.default_rng(0).integers(0, 2, (16, 8192)).astype(bool)
    Image.fromarray(np.tile(rows, (512, 1))).save(path)
    return path


def test_settings_inside_a_file_are_read_in_the_child(tmp_path: Path) -> None:
    save_image(tmp_path / "x.png", to_array(Image.new("RGB", (64, 64))), {"params": {"prompt": "a heron"}})
    found = Sandbox().read_media(tmp_path / "x.png")
    assert (found["width"], found["settings"]) == (64, {"params": {"prompt": "a heron"}})
    (tmp_path / "y.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(100))
    with pytest.raises(InvalidMedia) as caught:
        Sandbox().read_media(tmp_path / "y.mp4")
    assert str(tmp_path) not in caught.value.message


def test_the_most_that_is_decoded_fits_into_the_limits(huge: Path, tmp_path: Path) -> None:
    assert Sandbox().reencode(huge, tmp_path / "out.png").width == 8192


@pytest.mark.parametrize(
    ("picture", "limits", "said"),
    [
        ("huge", Limits(memory=400 * 2**20), "image"),
        ("slow", Limits(cpu_seconds=1, memory=2**31), "cannot be read"),
        ("slow", Limits(wall_seconds=0.3), "takes too long"),
        ("huge", Limits(written=1000), "cannot be read"),
    ],
    ids=["memory", "processor", "time", "disk"],
)
def test_a_bomb_ends_at_each_limit(
    request: pytest.FixtureRequest, tmp_path: Path, picture: str, limits: Limits, said: str
) -> None:
    bomb: Path = request.getfixturevalue(picture)
    began = time.monotonic()
    with pytest.raises(InvalidImage, match=said) as caught:
        Sandbox(limits).reencode(bomb, tmp_path / "out.png")
    assert str(bomb) not in caught.value.message
    assert time.monotonic() - began < 20


def test_a_picture_with_too_many_pixels_is_said_to_be_too_large(tmp_path: Path) -> None:
    Image.new("1", (16400, 8192)).save(tmp_path / "x.png")
    with pytest.raises(InvalidImage, match="pixels"):
        Sandbox().reencode(tmp_path / "x.png", tmp_path / "out.png")


@pytest.fixture
def child(huge: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[psutil.Process]:
    """One at work, of a server that knows secrets."""
    monkeypatch.setenv("WANVIDEO_TOKEN", "a-token-that-is-long-enough")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    thread = threading.Thread(target=Sandbox().reencode, args=(huge, tmp_path / "out.png"))
    thread.start()
    end = time.monotonic() + 20
    while not (found := [each for each in psutil.Process().children() if sandboxed.__name__ in each.cmdline()]):
        assert time.monotonic() < end
    yield found[0]
    thread.join()


def test_a_child_inherits_no_secret(child: psutil.Process) -> None:
    assert child.environ().keys() <= {"OPENBLAS_NUM_THREADS", "PYTHONPATH", "LC_CTYPE"}
    assert child.cwd() == "/"


@pytest.mark.parametrize(
    ("deed", "said"),
    [
        ("import os; os.fork()", "Resource temporarily unavailable"),
        ("import subprocess; subprocess.run(['/bin/true'])", "Resource temporarily unavailable"),
        ("bytearray(3 * 2**30)", "MemoryError"),
        ("import resource as r; r.setrlimit(r.RLIMIT_AS, (2**40, 2**40))", "not allowed"),
        ("import socket; socket.create_connection(('127.0.0.1', {port}), 2)", "unreachable"),
        ("import socket; socket.create_connection(('192.0.2.1', 80), 2)", "unreachable"),
    ],
    ids=["fork", "program", "memory", "limits", "loopback", "network"],
)
def test_what_a_child_gave_up_it_cannot_get_back(deed: str, said: str) -> None:
    if "temporarily" in said and os.getuid() == 0:
        pytest.skip("root may start as many processes as it likes")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        code = f"""if True:
            from wanvideo.server.sandboxed import Limits, confine
            print(confine(Limits()), flush=True)
            {deed.replace("{port}", str(listener.getsockname()[1]))}
        """
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    if done.stdout.strip() == "False" and said == "unreachable":
        pytest.skip("an ordinary user cannot leave the network here")
    assert done.returncode == 1
    assert said in done.stderr


needs_landlock = pytest.mark.skipif(not landlock.version(), reason="this kernel has no Landlock")


@needs_landlock
@pytest.mark.parametrize(
    "deed",
    [
        "open({user!r} + '/secret')",
        "open({user!r} + '/in.png', 'r+b')",
        "open({user!r} + '/new', 'w')",
        "os.listdir({user!r})",
        "os.unlink({user!r} + '/secret')",
        "os.rename({user!r} + '/out.png', {user!r} + '/secret')",
        "os.symlink('/', {user!r} + '/link')",
        "open('/etc/passwd')",
        "open('/proc/self/environ')",
        "open('/proc/{server}/environ')",
        "os.listdir(os.path.expanduser('~'))",
        "os.kill({server}, 0)",
    ],
)
def test_a_child_has_no_file_of_the_user_but_its_own(deed: str, tmp_path: Path) -> None:
    if "os.kill" in deed and landlock.version() < 6:
        pytest.skip("this kernel's Landlock does not keep signals in")
    for name in ("secret", "in.png", "out.png"):
        (tmp_path / name).write_text(name)
    code = f"""if True:
        import os
        from pathlib import Path
        from wanvideo.server.sandboxed import Limits, confine, keep_to
        source, target = Path({str(tmp_path)!r}, "in.png"), Path({str(tmp_path)!r}, "out.png")
        confine(Limits())
        assert keep_to(source, target)
        assert source.read_text() == "in.png"
        target.write_text("written")
        try:
            {deed.format(user=str(tmp_path), server=os.getpid())}
        except PermissionError:
            print("refused")
        """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "refused\n", done.stderr
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "secret": "secret", "in.png": "in.png", "out.png": "written"
    }  # fmt: skip


@needs_landlock
def test_the_child_that_decodes_has_given_up_files(tmp_path: Path) -> None:
    """The one that the server starts, seen by what it can no longer do: make a file."""
    Image.new("RGB", (64, 64)).save(tmp_path / "in.png")
    paths = [str(tmp_path / name) for name in ("in.png", "out.png")]
    command = [sys.executable, "-m", sandboxed.__name__, "{}", "image", *paths]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode != 0
    assert "PermissionError" in refused.stderr
    Path(paths[1]).touch()
    assert subprocess.run(command, timeout=60, check=False).returncode == 0
    with Image.open(paths[1]) as picture:
        assert picture.size == (64, 64)


def test_a_kernel_without_landlock_is_said_and_changes_nothing(monkeypatch: pytest.MonkeyPatch, fresh: Serving) -> None:
    def said() -> bool:
        return any("Landlock" in each for each in fresh.get("/api/v1/system/health")["system_info"]["warnings"])

    assert said() == (landlock.version() == 0)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not landlock.restrict(read=[])
    assert said()


def test_a_child_loads_nothing_of_the_server() -> None:
    code = "import sys, wanvideo.server.sandboxed; sys.exit(bool({'fastapi', 'torch', 'numpy'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def test_files_wait_for_a_child_and_not_for_ever(tmp_path: Path) -> None:
    sandbox = Sandbox(patience=0.1)
    for _ in range(CHILDREN):
        assert sandbox.free.acquire(blocking=False)
    with pytest.raises(NotReady, match="too many"):
        sandbox.read_media(tmp_path / "x.png")
