"""`wan generate` while a server runs."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Ended, Wan
from tests.cli.test_serve import served
from tests.hub.loopback import LoopbackHub
from tests.hub.scene import SMALL_5B, SMALL_5B_REPO, SMALL_5B_VARIANT
from tests.server.serving import Serving, no_workers, serving
from wanvideo import read_video
from wanvideo.cli.downloads import EVENT_SECONDS
from wanvideo.cli.output import Output
from wanvideo.cli.remote import _watch
from wanvideo.client import Client
from wanvideo.client.find import DATA_VARIABLE, URL_VARIABLE
from wanvideo.jobs.job import State
from wanvideo.jobs.ledger import Change
from wanvideo.media.info import read_settings
from wanvideo.weights.download.hub import Hub

WAN = (sys.executable, "-c", "from wanvideo.cli.main import main; raise SystemExit(main())")
CIRCLE = "a small red circle moves left"
SMALL = ("--model", "t2v-A14B-demo", "--frames", "5", "--steps", "2")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("remote")) as server:
        yield server


@pytest.fixture
def named(server: Serving, monkeypatch: pytest.MonkeyPatch) -> Serving:
    monkeypatch.setenv(URL_VARIABLE, server.url)
    return server


@pytest.fixture
def waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    """Without workers: jobs wait."""
    with serving(tmp_path, workers=no_workers, demo=False) as server:
        monkeypatch.setenv(URL_VARIABLE, server.url)
        yield server


def test_the_first_line_says_which_server_makes_it_and_the_file_lands_here(named: Serving, wan: Wan) -> None:
    # So many steps that one is told before they are over.
    ended = wan("generate", CIRCLE, *SMALL, "--steps", "20", "--seed", "7")
    assert ended.code == 0, ended.err
    assert ended.out == "a-small-red-circle-moves-left-7.mp4\n"
    first, *lines = ended.err.splitlines()
    assert first == f"made by the server {named.url}: WANVIDEO_URL names it"
    assert any(line.startswith("denoise: ") and "/20" in line for line in lines)
    settings = read_settings(ended.out.strip()).settings
    assert settings is not None
    assert [path.name for path in Path().iterdir()] == [ended.out.strip()], "nothing else is left"


def test_the_same_request_gives_the_same_bits_both_ways(named: Serving, wan: Wan) -> None:
    options = (*SMALL, "--seed", "11", "--size", "160x96", "--guidance", "3.5", "--lora", "slanted:0.8")
    assert wan("generate", CIRCLE, *options, "--out", "there.mp4").code == 0
    assert wan("generate", CIRCLE, *options, "--out", "here.mp4", "--local").code == 0
    assert_same(Path("there.mp4"), Path("here.mp4"))


@pytest.mark.slow
def test_so_does_one_that_begins_with_a_picture(named: Serving, wan: Wan) -> None:
    shade = np.linspace(0, 255, 128 * 96 * 3).reshape(96, 128, 3).astype(np.uint8)
    Image.fromarray(shade).save("first.png")
    options = ("--model", "ti2v-5B-demo", "--image", "first.png", "--frames", "5", "--steps", "2", "--seed", "3")
    there = wan("generate", CIRCLE, *options, "--out", "there.mp4")
    here = wan("generate", CIRCLE, *options, "--out", "here.mp4", "--local")
    assert (there.code, here.code) == (0, 0), there.err + here.err
    assert_same(Path("there.mp4"), Path("here.mp4"))


def assert_same(one: Path, other: Path) -> None:
    """Every pixel, and every setting but the times."""
    assert np.array_equal(read_video(one).frames, read_video(other).frames)
    params = []
    for path in (one, other):
        settings = read_settings(path).settings
        assert settings is not None
        params.append({name: value for name, value in settings["params"].items() if name != "image"})  # type: ignore[attr-defined]
    assert params[0] == params[1]


def test_programs_get_the_events_of_a_run_in_their_own_process(named: Serving, wan: Wan) -> None:
    options = (*SMALL, "--steps", "20", "--seed", "5", "--size", "70x96", "--json")
    there, here = (wan("generate", CIRCLE, *options, "--out", "x.mp4", *way) for way in ((), ("--local",)))
    assert there.events[0] == {"event": "where", "server": named.url, "reason": there.events[0]["reason"]}
    assert here.events[0]["server"] is None
    resolved, expected = (event_of(each, "resolved") for each in (there, here))
    assert {name: expected[name] for name in resolved} == resolved
    assert event_of(there, "adjusted") == event_of(here, "adjusted")
    # A phase of so small a video may be over before it is told.
    assert {event["phase"] for event in there.events if event["event"] == "progress"} & {"denoise", "decode"}
    assert Path(event_of(there, "done")["path"]).is_file()


def event_of(ended: Ended, kind: str) -> dict[str, Any]:
    assert ended.code == 0, ended.out
    return next(event for event in ended.events if event["event"] == kind)


@pytest.mark.slow
def test_several_pictures_make_several_videos(named: Serving, wan: Wan) -> None:
    for name in ("navy", "olive"):
        Image.new("RGB", (128, 128), name).save(f"{name}.png")
    options = ("--model", "i2v-A14B-demo", "--frames", "5", "--steps", "2", "--seed", "1", "--out", ".")
    ended = wan("generate", CIRCLE, *options, "--image", "navy.png", "--image", "olive.png")
    one, other = (read_video(line).frames for line in ended.out.splitlines())
    assert not np.array_equal(one, other)
    assert [line.split("]")[0] for line in ended.err.splitlines() if line.startswith("[")] == ["[1/2", "[2/2"]


def test_one_frame_becomes_a_picture(named: Serving, wan: Wan) -> None:
    ended = wan("generate", CIRCLE, "--model", "t2v-A14B-demo", "--steps", "2", "--frames", "1", "--seed", "7")
    assert ended.out == "a-small-red-circle-moves-left-7.png\n"
    with Image.open(ended.out.strip()) as picture:
        assert picture.size == (128, 128)


def test_without_a_model_it_says_which_one_the_server_takes(named: Serving, wan: Wan) -> None:
    ended = wan("generate", CIRCLE, "--frames", "1", "--steps", "1")
    assert ended.err.splitlines()[1] == "model: t2v-A14B-demo, a built-in demo: no real model is ready here"


@pytest.mark.slow
def test_what_only_this_process_can_do_is_done_here_or_refused(
    tmp_path: Path, wan: Wan, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(tmp_path) as (_, url):
        monkeypatch.setenv(DATA_VARIABLE, str(tmp_path / "server"))
        small = ("--frames", "1", "--steps", "1", "--model", "t2v-A14B-demo")
        there = wan("generate", CIRCLE, *small)
        assert there.err.startswith(f"made by the server {url}: it is running; --local makes it here\n")
        here = wan("generate", CIRCLE, *small, "--dtype", "float32")
        assert f"in this process: --dtype is nothing for the server {url}" in here.err.splitlines()[0]
        monkeypatch.setenv(URL_VARIABLE, url)
        refused = wan("generate", CIRCLE, *small, "--out", "x.webp")
    assert (there.code, here.code, refused.code) == (0, 0, 2)
    assert "--local" in refused.err
    monkeypatch.delenv(URL_VARIABLE)
    alone = wan("generate", CIRCLE, *small)
    assert "in this process: no server is running" in alone.err.splitlines()[0]


@pytest.mark.parametrize(
    ("options", "code", "error"),
    [
        (("--out", "no/x.mp4"), 2, "OUTPUT_NOT_WRITABLE"),
        (("--size", "8x8"), 2, "INPUT_SIZE"),
        (("--model", "no-such-model"), 2, "MODEL_UNKNOWN"),
        (("--model", "t2v-A14B"), 1, "MODEL_MISSING"),
        (("--image", "no.png"), 2, "INPUT_IMAGE_BAD"),
    ],
)
def test_wrong_input_is_the_same_error_as_here(
    waiting: Serving, wan: Wan, options: tuple[str, ...], code: int, error: str
) -> None:
    model = () if "--model" in options else ("--model", "i2v-A14B-demo" if "--image" in options else "t2v-A14B-demo")
    ended = wan("generate", CIRCLE, *model, *options, "--json")
    assert (ended.code, ended.error["code"]) == (code, error)
    assert waiting.get("/api/v1/queue")["total_tasks"] == 0


def test_a_server_that_does_not_answer_is_an_error(wan: Wan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URL_VARIABLE, "http://127.0.0.1:9")
    ended = wan("generate", CIRCLE)
    assert (ended.code, "127.0.0.1:9 does not answer" in ended.err) == (1, True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_cancels_the_job(number: signal.Signals, waiting: Serving) -> None:
    with Client(waiting.url) as client:
        process = subprocess.Popen((*WAN, "generate", CIRCLE, *SMALL, "--json"), stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        job = next(event["job"] for line in process.stdout if (event := json.loads(line))["event"] == "submitted")
        process.send_signal(number)
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 130
        assert json.loads(out.splitlines()[-1])["error"]["code"] == "CANCELLED_USER"
        assert client.get(job).state == "cancelled"
    assert not list(Path().iterdir())


def test_ctrl_c_before_the_answer_leaves_no_job(waiting: Serving) -> None:
    stored, cancelling = threading.Event(), threading.Event()

    def answer_late(change: Change) -> None:
        if change.kind == "submitted":
            stored.set()
            cancelling.wait(60)

    waiting.parts.queue.subscribe(answer_late)
    process = subprocess.Popen((*WAN, "generate", CIRCLE, *SMALL), stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert stored.wait(60)
    process.send_signal(signal.SIGINT)
    assert any(line.startswith("cancelling") for line in process.stderr)
    cancelling.set()
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert [job.state for job in waiting.parts.queue.page().jobs] == [State.CANCELLED]


def test_a_download_that_a_job_waits_for_is_shown_as_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], loopback: LoopbackHub
) -> None:
    """Of a real model, which only `force` lets a computer without a GPU have: the command would not ask for it."""
    loopback.add(SMALL_5B_REPO, SMALL_5B)
    loopback.bytes_per_second = 200_000
    with (
        serving(tmp_path, demo=False, device="cpu", hubs=(Hub(endpoint=loopback.endpoint),)) as server,
        Client(server.url) as client,
        ExitStack() as displays,
    ):
        came = threading.Event()

        def look(change: Change) -> None:
            if change.job.progress.received_bytes:
                came.set()

        def cancel_later() -> None:
            if came.wait(60):
                time.sleep(2 * EVENT_SECONDS)
            server.parts.queue.cancel(job)

        server.parts.queue.subscribe(look)
        job = server.submit(model_type="ti2v-5B", variant=SMALL_5B_VARIANT, force=True)["task_id"]
        later = threading.Thread(target=cancel_later)
        later.start()
        assert _watch(Output(json=True), client, job, displays).done
        later.join()
    events = map(json.loads, capsys.readouterr().out.splitlines())
    shown = next(event for event in events if event.get("fetched_bytes"))
    assert 0 < shown["done_bytes"] < shown["total_bytes"]
    assert shown["bytes_per_second"] > 0
    assert shown["seconds_left"] > 0


def test_a_job_that_was_cancelled_there_ends_here(waiting: Serving) -> None:
    process = subprocess.Popen((*WAN, "generate", CIRCLE, *SMALL, "--json"), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    job = next(event["job"] for line in process.stdout if (event := json.loads(line))["event"] == "submitted")
    waiting.parts.queue.cancel(job)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "at the server" in json.loads(out.splitlines()[-1])["error"]["message"]


def test_a_video_is_fetched_later(named: Serving, wan: Wan) -> None:
    job = named.submit(seed=9)["task_id"]
    named.until(job, "completed")
    ended = wan("queue", "fetch", job[:12])
    assert ended.out == "a-small-red-circle-moves-left-9.mp4\n"
    assert read_video(ended.out.strip()).frames.shape[0] == 5
