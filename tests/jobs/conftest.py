import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres import TEMPLATE, Postgres
from wanvideo.jobs.database import Database
from wanvideo.jobs.folder import DataFolder
from wanvideo.jobs.queue import Queue
from wanvideo.jobs.spec import JobSpec
from wanvideo.request import GenerationRequest


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    folder = DataFolder(tmp_path / "data")
    folder.make()
    return folder


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, folder: DataFolder) -> Iterator[str]:
    """Of an empty store: every test that works with one works with both."""
    if request.param == "sqlite":
        yield f"sqlite:///{folder.database}"
        return
    server: Postgres = request.getfixturevalue("postgres")
    name = uuid.uuid4().hex
    yield server.create(name, template=TEMPLATE)
    server.drop(name)


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    database = Database(url)
    database.migrate()
    yield database
    database.close()


@pytest.fixture
def sqlite(folder: DataFolder) -> Iterator[Database]:
    """For what is SQLite's alone."""
    database = Database(f"sqlite:///{folder.database}")
    database.migrate()
    yield database
    database.close()


@pytest.fixture
def queue(database: Database, folder: DataFolder) -> Queue:
    return Queue(database, folder, most_waiting=50)


def spec(prompt: str = "a heron", model: str = "t2v-A14B-demo", seed: int | None = 7) -> JobSpec:
    return JobSpec(model=model, request=GenerationRequest(prompt=prompt, seed=seed))
