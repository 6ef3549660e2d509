"""The whole server where its files lie in a storage that several machines share."""

import uuid
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from tests.postgres import Postgres
from tests.server.serving import serving
from wanvideo.server.settings import Settings


def test_a_video_is_served_from_the_storage_whole_and_in_ranges(tmp_path: Path, postgres: Postgres) -> None:
    storage = tmp_path / "shared"
    storage.mkdir()
    database = SecretStr(postgres.create(uuid.uuid4().hex))
    with serving(tmp_path, database=database, storage=str(storage)) as server:
        made = server.submit()["task_id"]
        task = server.until(made, "completed", seconds=120)
        assert list((tmp_path / "data" / "outputs").iterdir()) == []
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
