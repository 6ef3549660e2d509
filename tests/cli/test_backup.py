import json
from pathlib import Path

from tests.cli.conftest import Wan
from wanvideo.jobs.database import Database
from wanvideo.jobs.folder import DataFolder


def test_a_server_is_backed_up_and_restored(tmp_path: Path, wan: Wan) -> None:
    folder = DataFolder(tmp_path / "data")
    folder.make()
    database = Database(f"sqlite:///{folder.database}")
    database.migrate()
    database.close()
    made = wan("backup", tmp_path / "kept.tar", "--data-dir", folder.root)
    assert (made.code, made.out) == (0, f"{tmp_path / 'kept.tar'}\n")
    again = wan("backup", tmp_path / "kept.tar", "--data-dir", folder.root)
    assert again.code == 1
    assert "exists" in again.err
    back = wan("restore", tmp_path / "kept.tar", "--data-dir", tmp_path / "back", "--json")
    assert json.loads(back.out)["event"] == "restored"
    assert DataFolder(tmp_path / "back").database.is_file()
    assert "is not empty" in wan("restore", tmp_path / "kept.tar", "--data-dir", folder.root).err
