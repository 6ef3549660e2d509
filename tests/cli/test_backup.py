import json
from hashlib import sha256
from pathlib import Path

from tests.cli.conftest import Wan
from tests.server.serving import no_workers, serving
from wanvideo.jobs.database import Database
from wanvideo.jobs.folder import DataFolder
from wanvideo.jobs.leases import Leases


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


def test_videos_are_found_where_the_server_had_them(tmp_path: Path, wan: Wan) -> None:
    """Whoever makes a backup need not know what the server was started with."""
    chosen = tmp_path / "videos"
    with serving(tmp_path, workers=no_workers, outputs_dir=chosen) as server:
        job = server.submit()["task_id"]
        (chosen / "x.mp4").write_bytes(b"video")
        leases = Leases(server.parts.queue)
        lease = leases.start(job, "worker")
        assert lease is not None
        leases.succeed(lease, {"file": "x.mp4", "sha256": sha256(b"video").hexdigest(), "bytes": 5})
        made = wan("backup", tmp_path / "kept.tar", "--data-dir", tmp_path / "data")
    assert (made.code, "is gone" in made.err) == (0, False)
    wan("restore", tmp_path / "kept.tar", "--data-dir", tmp_path / "back")
    assert (tmp_path / "back" / "outputs" / "x.mp4").read_bytes() == b"video"
    with serving(tmp_path, workers=no_workers):
        pass
    assert DataFolder.as_left(tmp_path / "data").outputs == tmp_path / "data" / "outputs"
