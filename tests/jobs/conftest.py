from collections.abc import Iterator
from pathlib import Path

import pytest

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


@pytest.fixture
def database(folder: DataFolder) -> Iterator[Database]:
    database = Database(f"sqlite:///{folder.database}")
    database.migrate()
    yield database
    database.close()


@pytest.fixture
def queue(database: Database, folder: DataFolder) -> Queue:
    return Queue(database, folder, most_waiting=50)


def spec(prompt: str = "a heron", model: str = "t2v-A14B-demo", seed: int | None = 7) -> JobSpec:
    return JobSpec(model=model, request=GenerationRequest(prompt=prompt, seed=seed))
