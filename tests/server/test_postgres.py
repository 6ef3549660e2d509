"""The whole server on PostgreSQL."""

import uuid
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.postgres import Postgres
from tests.server.serving import no_workers, serving, sources
from wanvideo.errors import DataFolderInUse
from wanvideo.server.build import build
from wanvideo.server.settings import Settings


def test_a_server_works_with_postgresql_and_finds_its_jobs_again(tmp_path: Path, postgres: Postgres) -> None:
    database = SecretStr(postgres.create(uuid.uuid4().hex))
    with serving(tmp_path, database=database) as server:
        made = server.submit()["task_id"]
        server.until(made, "completed", seconds=120)
        assert server.client.get(f"/api/v1/outputs/{made}/download").status_code == 200
        second = Settings(data_dir=tmp_path / "second", database=database)
        with pytest.raises(DataFolderInUse, match="database is in use"):
            build(second, sources(tmp_path), workers=no_workers)
    with serving(tmp_path, database=database, workers=no_workers) as server:
        assert server.get(f"/api/v1/queue/{made}")["status"] == "completed"
        assert server.get("/api/v1/outputs")["total_count"] == 1
        assert server.client.get("/readyz").json()["checks"][0] == {"name": "database", "ok": True, "detail": "answers"}
