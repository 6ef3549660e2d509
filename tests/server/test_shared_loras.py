"""LoRAs travel to the machines that make a job, through the storage that they share."""

import threading
import uuid
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from safetensors.torch import load_file, save_file

from tests.postgres import Postgres
from tests.server.serving import no_workers, serving
from wanvideo.errors import InvalidRequest, LoraError, StorageFailed
from wanvideo.jobs.spec import JobSpec
from wanvideo.jobs.storage import SharedFolder
from wanvideo.request import GenerationRequest, LoraUse
from wanvideo.server.shared_loras import SharedLoras
from wanvideo.weights.lora.library import About, LoraLibrary
from wanvideo.weights.places import DEMO_FOLDER

SLANTED = next((DEMO_FOLDER / "loras").rglob("*.safetensors"))


def put(path: Path, strength: float = 1.0) -> Path:
    """The demo's LoRA, stronger or weaker."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: (strength * tensor).contiguous() for name, tensor in load_file(SLANTED).items()}, path)
    return path


def spec(*names: str) -> JobSpec:
    uses = tuple(LoraUse(source=name) for name in names)
    return JobSpec(model="t2v-A14B-demo", request=GenerationRequest(prompt="a circle", loras=uses))


class Machines:
    """Two, of which the first has LoRAs."""

    def __init__(self, root: Path) -> None:
        (root / "shared").mkdir()
        self.storage = SharedFolder(root / "shared")
        self.folders = (root / "a", root / "b")
        self.libraries = tuple(LoraLibrary(folder=folder) for folder in self.folders)
        self.here, _ = (SharedLoras(library, self.storage) for library in self.libraries)

    @property
    def there(self) -> SharedLoras:
        """Anew each time, so that it has not just looked."""
        return SharedLoras(self.libraries[1], self.storage)

    def stored(self) -> list[str]:
        return sorted(found.name for found in self.storage.list("loras/"))

    def fetch(self, *names: str) -> list[tuple[int, int]]:
        told: list[tuple[int, int]] = []
        self.there.fetch(names, lambda done, total: told.append((done, total)), threading.Event())
        return told


@pytest.fixture
def machines(tmp_path: Path) -> Machines:
    return Machines(tmp_path)


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("leaning", ["leaning.safetensors"]),
        ("styles/leaning", ["styles/leaning.safetensors"]),
        ("leaning", ["leaning_high_noise.safetensors", "leaning_low_noise.safetensors"]),
        ("styles/leaning", ["styles/leaning/high_noise.safetensors", "styles/leaning/low_noise.safetensors"]),
    ],
)
def test_what_one_machine_shares_another_has_under_that_name(machines: Machines, name: str, files: list[str]) -> None:
    for number, file in enumerate(files):
        put(machines.folders[0] / file, 1.0 + number)
    assert [entry.name for entry in machines.libraries[0].entries()] == [name]
    assert machines.there.missing(spec(name)) == ()  # it is nowhere, so there is nothing to wait for
    machines.here.share([name])
    assert machines.here.missing(spec(name)) == ()
    assert machines.there.missing(spec(name)) == (name,)
    told = machines.fetch(name)
    assert told[-1][0] == told[-1][1] == sum((machines.folders[0] / file).stat().st_size for file in files)
    assert machines.there.missing(spec(name)) == ()
    for file in files:
        assert (machines.folders[1] / file).read_bytes() == (machines.folders[0] / file).read_bytes()
    assert [entry.name for entry in machines.libraries[1].entries()] == [name]


def test_what_is_shared_already_is_not_stored_again(machines: Machines) -> None:
    put(machines.folders[0] / "leaning.safetensors")
    machines.here.share(["leaning"])
    (stored,) = (machines.storage.root / "loras").rglob("*.safetensors")
    before = stored.stat()
    machines.here.share(["leaning", "never-heard-of"])
    assert stored.stat() == before


def test_another_lora_under_the_same_name_takes_its_place_everywhere(machines: Machines) -> None:
    put(machines.folders[0] / "leaning.safetensors")
    machines.here.share(["leaning"])
    machines.fetch("leaning")
    machines.libraries[0].remove("leaning")
    machines.here.forget("leaning")
    assert machines.stored() == []
    assert machines.there.missing(spec("leaning")) == ()  # what it has is as good as nothing else
    new = put(machines.folders[0] / "leaning.safetensors", 2.0)
    machines.here.share(["leaning"])
    assert machines.there.missing(spec("leaning")) == ("leaning",)
    machines.fetch("leaning")
    assert (machines.folders[1] / "leaning.safetensors").read_bytes() == new.read_bytes()
    assert machines.there.missing(spec("leaning")) == ()
    # A machine that has a copy does not share what may be older.
    put(machines.folders[0] / "leaning.safetensors", 3.0)
    machines.here.share(["leaning"])
    before = machines.stored()
    machines.there.share(["leaning"])
    assert machines.stored() == before


def test_what_somebody_put_there_stays(machines: Machines) -> None:
    put(machines.folders[0] / "leaning.safetensors")
    theirs = put(machines.folders[1] / "leaning.safetensors", 2.0)
    content = theirs.read_bytes()
    machines.here.share(["leaning"])
    assert machines.there.missing(spec("leaning")) == ()
    machines.fetch("leaning")  # of a job that lacked it a moment ago
    assert theirs.read_bytes() == content


def test_half_a_pair_is_not_fetched(machines: Machines) -> None:
    for expert in ("high", "low"):
        put(machines.folders[0] / f"leaning_{expert}_noise.safetensors")
    machines.here.share(["leaning"])
    machines.storage.delete(machines.stored()[0])
    assert machines.there.missing(spec("leaning")) == ()
    machines.here.share(["leaning"])
    assert machines.there.missing(spec("leaning")) == ("leaning",)


@pytest.mark.parametrize("content", [b"", b"\x80\x04 a pickle", b"\xff" * 4096])
def test_a_file_that_is_no_lora_is_not_taken(machines: Machines, content: bytes, tmp_path: Path) -> None:
    broken = tmp_path / "leaning.safetensors"
    broken.write_bytes(content)
    machines.storage.put(f"loras/leaning/{'0' * 32}-1/leaning.safetensors", broken)
    with pytest.raises(LoraError):
        machines.fetch("leaning")
    assert [path for path in machines.folders[1].rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("name", ["../leaning", "/etc/leaning", ".hidden/leaning", "a/../../b"])
def test_no_name_leads_out_of_the_library(machines: Machines, name: str, tmp_path: Path) -> None:
    file = put(tmp_path / "in" / "leaning.safetensors")
    with pytest.raises(InvalidRequest):
        machines.libraries[1].take(name, [file], About())
    assert file.exists()


def test_a_storage_that_is_away_is_waited_for(machines: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    put(machines.folders[0] / "leaning.safetensors")
    machines.here.share(["leaning"])
    there, read, failures = machines.there, machines.storage.read, iter([StorageFailed("it is away")])

    def failing(*args: Any) -> Any:
        for failure in failures:
            raise failure
        return read(*args)

    monkeypatch.setattr(SharedFolder, "read", lambda _, *args: failing(*args))
    there.fetch(["leaning"], lambda *_: None, threading.Event())
    assert there.missing(spec("leaning")) == ()


def test_of_two_jobs_that_lack_the_same_one_fetches_it(machines: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    put(machines.folders[0] / "leaning.safetensors")
    machines.here.share(["leaning"])
    there, read, reads = machines.there, machines.storage.read, []

    def slowly(name: str, *args: Any) -> Any:
        reads.append(name)
        threading.Event().wait(0.2)
        return read(name, *args)

    monkeypatch.setattr(SharedFolder, "read", lambda _, *args: slowly(*args))
    jobs = [
        threading.Thread(target=there.fetch, args=(["leaning"], lambda *_: None, threading.Event())) for _ in range(2)
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert len(reads) == 1
    assert there.missing(spec("leaning")) == ()
    assert [path.name for path in machines.folders[1].iterdir() if path.name.startswith(".")] == []


def test_what_is_no_name_is_nowhere(machines: Machines) -> None:
    names = ("../leaning", "/etc/passwd", "a//b")
    assert machines.there.missing(spec(*names)) == ()
    assert [machines.there.bring(name) for name in names] == [None] * 3


def test_a_job_is_made_by_a_machine_that_lacks_its_lora(tmp_path: Path, postgres: Postgres) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    options: dict[str, Any] = {"database": SecretStr(postgres.create(uuid.uuid4().hex)), "storage": str(shared)}
    with (
        serving(tmp_path / "a", workers=no_workers, **options) as first,
        serving(tmp_path / "b", **options) as second,
    ):
        leaning = put(tmp_path / "leaning.safetensors")
        sent = {"file": ("leaning.safetensors", leaning.read_bytes(), "application/octet-stream")}
        assert first.client.post("/api/v1/lora/upload", files=sent).status_code == 200
        job = first.submit(loras=[{"name": "leaning"}])["task_id"]
        made = second.until(job, "completed", "failed", seconds=120)
        assert made["status"] == "completed", made
        assert (tmp_path / "b" / "loras" / "leaning.safetensors").read_bytes() == leaning.read_bytes()
        events = first.get(f"/api/v1/queue/{job}/events")["events"]
        assert any("its files are here" in str(event) for event in events)
        (tmp_path / "b" / "loras" / "leaning.safetensors").unlink()
        again = second.submit(loras=[{"name": "leaning"}])["task_id"]  # to a server that has not got it
        assert second.until(again, "completed", "failed", seconds=120)["status"] == "completed"
        for name in ("leaning-not", "../../data/wanvideo", "/etc/passwd"):
            asked = {"model_type": "T2V-A14B", "prompt": "a circle", "loras": [{"name": name}], "lora_policy": "fail"}
            refused = second.client.post("/api/v1/generation/submit", json=asked)
            assert refused.status_code == 422, refused.text
            assert "LORA_NOT_FOUND" in refused.text
        assert first.client.delete("/api/v1/lora/leaning").status_code == 200
        assert not any((shared / "loras").rglob("*.safetensors"))
