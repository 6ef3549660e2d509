"""The whole server where its files lie in a storage that several machines share."""

import json
import os
import time
import uuid
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pydantic import SecretStr, ValidationError
from websockets.sync.client import connect

from tests import bucket
from tests.postgres import Postgres
from tests.server.serving import no_workers, serving, sources
from wanvideo.errors import DataFolderInUse, StorageFailed
from wanvideo.jobs.database import Database
from wanvideo.jobs.nodes import Nodes
from wanvideo.runtime.machine import Machine
from wanvideo.server.build import build
from wanvideo.server.machine import reported
from wanvideo.server.node import open_node
from wanvideo.server.settings import GIB, Settings

LARGE = Machine(
    gpu="large", capability=(9, 0), gpu_total=80 * GIB, gpu_free=79 * GIB, host_total=256 * GIB,
    host_available=200 * GIB, driver="580", notes=("a note",),
)  # fmt: skip


def test_a_video_is_served_from_the_storage_whole_and_in_ranges(tmp_path: Path, postgres: Postgres) -> None:
    storage = tmp_path / "shared"
    storage.mkdir()
    database = SecretStr(postgres.create(uuid.uuid4().hex))
    with serving(tmp_path, database=database, storage=str(storage)) as server:
        made = server.submit()["task_id"]
        task = server.until(made, "completed", seconds=120)
        until_empty(tmp_path / "data" / "outputs")
        (path,) = (storage / "outputs").iterdir()
        content = path.read_bytes()
        url = f"/api/v1/outputs/{made}/download"
        whole = server.client.get(url)
        assert whole.content == content
        assert path.name in whole.headers["content-disposition"]
        ranges = {"0-9": content[:10], "10-": content[10:], "-7": content[-7:], "5-999999999": content[5:]}
        for asked, there in ranges.items():
            part = server.client.get(url, headers={"Range": f"bytes={asked}"})
            assert (part.status_code, part.content) == (206, there)
            assert part.headers["content-range"].endswith(f"/{len(content)}")
        assert server.client.get(url, headers={"Range": "bytes=999999999-"}).status_code == 416
        assert server.client.get(task["thumbnail_url"]).content.startswith(b"\xff\xd8")
        assert server.client.delete(f"/api/v1/outputs/{made}").status_code == 200
        assert [each for each in storage.rglob("*") if each.is_file()] == []


def test_a_storage_without_a_database_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="WANVIDEO_DATABASE"):
        Settings(data_dir=tmp_path, storage=str(tmp_path))


def test_who_keeps_files_elsewhere_or_alone_is_refused(tmp_path: Path, postgres: Postgres) -> None:
    database = SecretStr(postgres.create(uuid.uuid4().hex))
    for name in ("one", "two"):
        (tmp_path / name).mkdir()

    def settings(**values: object) -> Settings:
        return Settings.model_validate({"data_dir": tmp_path / "second", "database": database, **values})

    with serving(tmp_path, database=database, storage=str(tmp_path / "one"), workers=no_workers):
        with pytest.raises(StorageFailed, match="leave --storage out"):
            build(settings(storage=str(tmp_path / "two")), sources(tmp_path), workers=no_workers)
        with pytest.raises(DataFolderInUse, match="--storage"):
            build(settings(), sources(tmp_path), workers=no_workers)
    with pytest.raises(StorageFailed, match="there is no folder"):
        build(settings(storage=str(tmp_path / "mistyped")), sources(tmp_path), workers=no_workers)
    with ExitStack() as closing:  # what the last server said that could start holds for those who join
        node = open_node(settings(), sources(tmp_path), no_workers, closing, joins=True)
        assert node.queue.job_files.shared is not None
    with serving(tmp_path, database=database, workers=no_workers):
        pass
    with ExitStack() as closing, pytest.raises(StorageFailed, match="start it with --storage"):
        open_node(settings(), sources(tmp_path), no_workers, closing, joins=True)


def test_two_servers_with_one_queue_tell_their_clients_the_same(tmp_path: Path, postgres: Postgres) -> None:
    database = SecretStr(postgres.create(uuid.uuid4().hex))
    shared = tmp_path / "shared"
    shared.mkdir()
    with (
        serving(tmp_path / "a", workers=no_workers, database=database, storage=str(shared)) as first,
        serving(tmp_path / "b", workers=no_workers, database=database, storage=str(shared)) as second,
        connect(f"{first.url.replace('http', 'ws')}/ws") as one,
        connect(f"{second.url.replace('http', 'ws')}/ws") as two,
    ):
        task = second.submit()["task_id"]
        assert first.get(f"/api/v1/queue/{task}")["status"] == "pending"
        assert first.client.post(f"/api/v1/queue/{task}/cancel", json={}).status_code == 200
        for socket in (one, two):
            frames = (json.loads(socket.recv(timeout=20)) for _ in range(100))
            next(each for each in frames if each["type"] == "task_update" and each["data"]["status"] == "cancelled")
        nodes = first.get("/api/v1/system/nodes")["nodes"]
        assert sorted((node["kind"], node["here"]) for node in nodes) == [("server", False), ("server", True)]
        assert "wanvideo_node_workers{" in first.client.get("/metrics").text
        name = first.client.post("/api/v1/inputs", files={"file": ("a.png", _png(), "image/png")}).json()["name"]
        assert second.client.get(f"/api/v1/inputs/{name}").status_code == 200


def test_what_a_machine_left_half_stored_is_removed_by_a_server(tmp_path: Path, postgres: Postgres) -> None:
    outputs = tmp_path / "shared" / "outputs"
    outputs.mkdir(parents=True)
    left, written = outputs / ".part-1", outputs / ".part-2"
    for path in (left, written):
        path.write_bytes(b"half a video")
    two_days_ago = time.time() - 2 * 86_400
    os.utime(left, (two_days_ago, two_days_ago))
    fetched = tmp_path / "data" / "inputs" / ".part-3"  # what was half fetched from there
    fetched.parent.mkdir(parents=True)
    fetched.touch()
    database = SecretStr(postgres.create(uuid.uuid4().hex))
    with serving(tmp_path, workers=no_workers, database=database, storage=str(tmp_path / "shared")):
        end = time.monotonic() + 20
        while left.exists():
            assert time.monotonic() < end
            time.sleep(0.02)
        assert written.exists()
        assert not fetched.exists()


def until_empty(folder: Path, seconds: float = 10.0) -> None:
    """What was published leaves its machine after everybody was told that it is there."""
    end = time.monotonic() + seconds
    while found := list(folder.iterdir()):
        assert time.monotonic() < end, found
        time.sleep(0.02)


def _png() -> bytes:
    data = BytesIO()
    Image.new("RGB", (96, 64), "teal").save(data, "PNG")
    return data.getvalue()


@pytest.mark.slow
def test_a_video_is_made_from_a_picture_and_kept_in_a_bucket(
    tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = SecretStr(postgres.create(uuid.uuid4().hex))
    with bucket.running() as address:
        for name, value in {**bucket.KEYS, "AWS_ENDPOINT_URL": address}.items():
            monkeypatch.setenv(name, value)
        with serving(tmp_path, database=database, storage=f"s3://{bucket.NAME}/wan") as server:
            name = server.client.post("/api/v1/inputs", files={"file": ("a.png", _png(), "image/png")}).json()["name"]
            (tmp_path / "data" / "inputs" / name).unlink()  # as on a machine that did not take the upload
            made = server.submit(model_type="I2V-A14B", image_name=name)["task_id"]
            server.until(made, "completed", seconds=120)
            until_empty(tmp_path / "data" / "outputs")
            video = server.client.get(f"/api/v1/outputs/{made}/download").content
            assert video[4:8] == b"ftyp"
            part = server.client.get(f"/api/v1/outputs/{made}/download", headers={"Range": "bytes=4-7"})
            assert (part.status_code, part.content) == (206, b"ftyp")


def test_a_server_without_workers_plans_for_the_largest_of_those_that_have_some(
    tmp_path: Path, postgres: Postgres
) -> None:
    address = postgres.create(uuid.uuid4().hex)
    (tmp_path / "shared").mkdir()
    database, storage = SecretStr(address), str(tmp_path / "shared")
    with (
        serving(tmp_path, workers=no_workers, database=database, storage=storage, device="none", demo=False) as server,
        ExitStack() as closing,
    ):
        tables = Database(address)
        closing.callback(tables.close)
        for size in (24, 80):
            machine = asdict(replace(LARGE, gpu=f"of {size} GiB", gpu_total=size * GIB, gpu_free=(size - 1) * GIB))
            _told_by(tables, f"node{size}", {"machine": machine})
        body = {"model_type": "t2v-A14B", "resolution": "1280x720", "frames": 81}
        found = server.client.post("/api/v1/generation/plan", json=body).json()
        assert (found["device"], found["fits"]) == ("cuda:0", True)
        assert 24 * 1024 < found["peak_mb"] < 80 * 1024


def _told_by(database: Database, node: str, more: Mapping[str, Any]) -> None:
    about = {"host": "other", "kind": "worker", "version": "1", "host_available": GIB, "gpus": [], "workers": []}
    Nodes(database, node, about=lambda: {**about, **more}, lost=lambda _: None).beat()


def test_what_a_node_says_of_its_machine_is_what_it_has() -> None:
    said = json.loads(json.dumps({"machine": {**asdict(LARGE), "of_a_later_version": 1}}))
    assert reported(said) == LARGE
    assert reported({}) is None
