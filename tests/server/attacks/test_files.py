"""What strangers can put into files that people download or upload: A8 to A11, A13, A27."""

import io
import json
import random
import re
import sqlite3
import struct
import time
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import av
import httpx2
import psutil
import pytest
from PIL import Image

from tests.hub.loopback import LoopbackHub, SendTo
from tests.server.attacks.conftest import CAMERA, Source, photo, source_of
from tests.server.attacks.serving import HUB_TOKEN, Attacked
from wanvideo.errors import ModelCorrupt, ModelIncomplete, WanVideoError
from wanvideo.weights.headers import read_weights
from wanvideo.weights.lora.file import read_lora
from wanvideo.weights.places import DEMO_FOLDER

LORA = (DEMO_FOLDER / "loras" / "slanted.safetensors").read_bytes()
SUBMIT = "/api/v1/generation/submit"
UPLOAD = "/api/v1/lora/upload"


# --- A8: pickles -----------------------------------------------------------------------------------------------------


def sings(path: Path, protocol: int = 2) -> bytes:
    """A pickle: whoever opens it makes a folder."""
    text = str(path).encode()
    if protocol == 0:
        return b"cos\nmkdir\n(S'" + text + b"'\ntR."
    head = b"\x80" + bytes([protocol])
    return head + b"cos\nmkdir\n(X" + len(text).to_bytes(4, "little") + text + b"tR."


def zipped(data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/version", "3")
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "protocol"),
    [("x.pt", 2), ("x.ckpt", 0), ("x.BIN", 5), ("x.safetensors", 0), ("x.safetensors", 2), ("x.safetensors", 5),
     ("x.SafeTensors", 0), ("x.safetensors.pth", 5), ("x", 2)],
)  # fmt: skip
def test_a08_a_pickle_is_refused_whatever_its_name(server: Attacked, name: str, protocol: int) -> None:
    canary = server.home / "unpickled"
    data = sings(canary, protocol)
    for upload in (data, zipped(data), (8).to_bytes(8, "little") + data):
        answer = server.client.post(UPLOAD, files={"file": (name, upload)})
        assert (answer.status_code, answer.json()["category"]) == (422, "lora")
        assert answer.json()["code"] in ("LORA_UNSAFE_FORMAT", "LORA_CORRUPT")
    assert not canary.exists()
    assert not list((server.home / "share").glob("**/.upload-*"))


def test_a08_a_pickle_in_the_library_is_named_and_not_opened(server: Attacked) -> None:
    canary = server.home / "unpickled"
    library = server.home / "share" / "wanvideo" / "loras"
    library.mkdir(parents=True, exist_ok=True)
    for name in ("sings.safetensors", "Sings.SafeTensors", "sings.pt"):
        (library / name).write_bytes(sings(canary))
    found = server.client.get("/api/v1/lora/list").json()["loras"]
    assert all("pickle" in each["problem"] for each in found if each["name"].casefold().startswith("sings"))
    assert server.submit(lora_path="sings", lora_policy="fail").status_code == 422
    assert not canary.exists()


FORBIDDEN = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "yaml", "jsonpickle"}
RUNNING = {("", "eval"), ("", "exec"), ("", "compile"), ("", "__import__")}
LOADING = {("torch", "load"), ("np", "load"), ("numpy", "load"), ("os", "system"), ("os", "popen")}


def test_a08_nothing_in_the_package_can_read_a_pickle_or_run_a_text(sources: Mapping[Path, Source]) -> None:
    assert len(sources) > 200
    for path, source in sources.items():
        assert not source.modules & FORBIDDEN, path
        assert not source.calls & (RUNNING | LOADING), path
        assert not source.keywords & {"shell", "allow_pickle", "trust_remote_code"}, path


def test_a08_such_code_would_be_found() -> None:
    text = "import pickle as p\nfrom yaml.x import y\neval(z)\nnp.load(f, allow_pickle=True)"
    found = source_of(text)
    assert found.modules == {"pickle", "yaml"}
    assert found.calls == {("", "eval"), ("np", "load")}
    assert found.keywords == {"allow_pickle"}


# --- A9, A12, A21: what a hub can do ---------------------------------------------------------------------------------

REPO = "Wan-AI/Wan2.2-TI2V-5B-Diffusers"
INDEX = {"_class_name": ["evil", "Pipeline"], "transformer": ["evil", "Model"], "auto_map": {"AutoModel": "evil.Model"}}
CONFIG = {
    "_class_name": "Evil",
    "auto_map": {"AutoModel": "evil--modeling.Model"},
    "_attn_implementation_internal": "x/y",
}


def fetched(server: Attacked, model: str, variant: str) -> dict[str, Any]:
    """The download, once it has ended."""
    answer = server.client.post("/api/v1/models/download", json={"model_type": model, "variant": variant})
    assert answer.status_code == 200, answer.text
    end = time.monotonic() + 30
    while True:
        found = server.client.get(f"/api/v1/models/download/progress/{model}").json()
        if found["status"] in ("done", "failed", "cancelled"):
            assert isinstance(found, dict)
            return found
        assert time.monotonic() < end, found
        time.sleep(0.1)


def test_a09_code_of_a_repository_is_neither_fetched_nor_run(server: Attacked, hub: LoopbackHub) -> None:
    code = f"import pathlib; pathlib.Path({str(server.home / 'ran')!r}).touch()".encode()
    parts = ("transformer", "vae", "text_encoder", "tokenizer", "scheduler")
    files = {f"{part}/{name}": code for part in parts for name in ("evil.py", "__init__.py", "setup.cfg", "x.pth")}
    files |= {f"{part}/config.json": json.dumps(CONFIG).encode() for part in parts}
    files |= {f"{part}/model.safetensors": LORA for part in parts}
    files |= {f"{part}/pytorch_model.bin": sings(server.home / "ran") for part in parts}
    files |= {"model_index.json": json.dumps(INDEX).encode(), "scheduler/scheduler_config.json": b"{}", "evil.py": code}
    hub.add(REPO, files)
    fetched(server, "ti2v-5B", "fp32")
    kept = [path for path in (server.home / "hf").rglob("*") if path.is_file()]
    assert any(path.name == "model_index.json" for path in kept)
    assert {path.suffix for path in kept if "snapshots" in path.parts} == {".json", ".safetensors"}
    assert not any(code in path.read_bytes() for path in kept)
    assert server.client.get("/api/v1/models/status/ti2v-5B").json()["is_valid"] is False
    assert not (server.home / "ran").exists()


def test_a12_a_hub_cannot_send_us_elsewhere(server: Attacked, hub: LoopbackHub) -> None:
    hub.add("Wan-AI/Wan2.2-T2V-A14B-Diffusers", {"model_index.json": b"{}"})
    for place in ("http://169.254.169.254/latest/meta-data", "file:///etc/passwd", "http://127.0.0.1.evil.example/x"):
        hub.heal()
        hub.fail_always("*", SendTo(url=place))
        found = fetched(server, "t2v-A14B", "fp32")
        assert (found["status"], found["error_code"]) == ("failed", "DOWNLOAD_REFUSED")
    hub.heal()


def test_a21_the_token_goes_to_the_hub_and_nowhere_else(server: Attacked, hub: LoopbackHub) -> None:
    repo = "Wan-AI/Wan2.2-I2V-A14B-Diffusers"
    parts = ("transformer", "transformer_2", "vae", "text_encoder", "tokenizer")
    files = {f"{part}/{name}": LORA + b"." for part in parts for name in ("config.json", "model.safetensors")}
    hub.add(repo, files | {"model_index.json": b"{}", "scheduler/scheduler_config.json": b"{}"})
    assert fetched(server, "i2v-A14B", "fp32")["status"] == "done"
    assert any(HUB_TOKEN in request.headers.get("Authorization", "") for request in hub.asked("hub", repo))
    assert hub.asked("cdn", repo)
    assert all("Authorization" not in request.headers for request in hub.asked("cdn"))
    kept = [*server.files(), *server.data.glob("wanvideo.db*"), *(server.data / "logs").iterdir(), server.home / "log"]
    assert not [path for path in kept if HUB_TOKEN.encode() in path.read_bytes()]
    for method, path in server.operations():
        if method == "GET" and not path.endswith("/stream"):
            assert HUB_TOKEN not in server.client.get(path).text, path


# --- A10, A11: tensors -----------------------------------------------------------------------------------------------


def mutations(data: bytes, count: int) -> Iterator[bytes]:
    """Files as a fuzzer makes them: bits, lengths, cuts, and numbers of the header."""
    chance = random.Random(7)
    header = 8 + int.from_bytes(data[:8], "little")
    for _ in range(count):
        changed = bytearray(data)
        match chance.randrange(5):
            case 0:
                for _ in range(chance.randint(1, 8)):
                    changed[chance.randrange(header)] = chance.randrange(256)
            case 1:
                changed[:8] = chance.choice((0, 1, header, len(data), 2**24, 2**31, 2**62, 2**64 - 1)).to_bytes(
                    8, "little"
                )
            case 2:
                del changed[chance.randrange(len(data)) :]
            case 3:
                at = chance.randrange(8, header)
                changed[at:at] = chance.choice((b"9" * 40, b"[" * 5000, b'"', b"-1", b"1e999", b"\x00", b"null,"))
            case 4:
                changed += chance.randbytes(chance.randint(1, 64))
        yield bytes(changed)


def test_a10_a_malformed_lora_is_refused_in_no_time(server: Attacked, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    longest = 0.0
    for data in mutations(LORA, 200):
        path.write_bytes(data)
        began = time.process_time()
        with suppress(WanVideoError):  # nothing else is ever raised
            read_lora(path)
        longest = max(longest, time.process_time() - began)
    assert longest < 0.2
    for data in mutations(LORA, 20):
        answer = server.client.post(UPLOAD, files={"file": ("x.safetensors", data)}, data={"name": "mutant"})
        assert answer.status_code in (200, 422), answer.text
        if answer.status_code == 200:
            assert server.client.delete("/api/v1/lora/mutant").status_code == 200


def test_a10_a_size_that_is_only_claimed_takes_no_memory(server: Attacked) -> None:
    shape = [2**20, 2**20]
    tensor = {"dtype": "F32", "shape": shape, "data_offsets": [0, 4 * 2**40]}
    header = json.dumps({f"blocks.0.self_attn.q.lora_{side}.weight": tensor for side in ("A", "B")}).encode()
    data = len(header).to_bytes(8, "little") + header + b"\0" * 64
    answer = server.client.post(UPLOAD, files={"file": ("x.safetensors", data)})
    assert (answer.status_code, answer.json()["code"]) == (422, "LORA_CORRUPT")


@pytest.mark.parametrize(
    "shard",
    ["../evil.safetensors", "/etc/passwd.safetensors", "x/../../evil.safetensors", "..\\evil.safetensors",
     "C:evil.safetensors", "\0.safetensors", ".safetensors", 7],
)  # fmt: skip
def test_a11_an_index_names_only_files_beside_it(tmp_path: Path, shard: object) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "evil.safetensors").write_bytes(LORA)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": shard}}))
    with pytest.raises(ModelCorrupt):
        read_weights(folder, "model")


@pytest.mark.parametrize("weight_map", [{"a": "model.safetensors"}, {}, {"blocks.0": "missing.safetensors"}])
def test_a11_an_index_and_its_files_must_agree(tmp_path: Path, weight_map: dict[str, str]) -> None:
    (tmp_path / "x.safetensors").write_bytes(LORA)
    (tmp_path / "model.safetensors").symlink_to(tmp_path / "x.safetensors")
    (tmp_path / "other.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises((ModelCorrupt, ModelIncomplete)):
        read_weights(tmp_path, "other")


# --- A13, A27: pictures ----------------------------------------------------------------------------------------------


def sent(server: Attacked, data: bytes, name: str = "x.png") -> httpx2.Response:
    form = {"model_type": "i2v-A14B-demo", "prompt": "a circle", "held": "true"}
    return server.client.post(SUBMIT, data=form, files={"image": (name, data)})


def bomb(width: int, height: int, rows: int = 1_000_000) -> bytes:
    """A small PNG that says it is huge, with some bytes of rows."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
              (b"IDAT", zlib.compress(b"\0" * rows)), (b"IEND", b"")]  # fmt: skip
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def test_a13_a_bomb_goes_off_in_a_child_at_most(server: Attacked) -> None:
    before = psutil.Process(server.process.pid).memory_info().rss
    for data in (bomb(30_000, 30_000), bomb(2**31 - 1, 1), bomb(8192, 8192), bomb(0, 0), bomb(64, 64, 50_000_000)):
        answer = sent(server, data)
        assert answer.status_code in (200, 422)
        assert "PIL" not in answer.text
    assert psutil.Process(server.process.pid).memory_info().rss - before < 100 * 2**20


def test_a13_a_damaged_picture_is_an_answer_without_words_of_the_decoder(server: Attacked) -> None:
    chance = random.Random(3)
    for kind in ("PNG", "JPEG", "WEBP"):
        file = io.BytesIO()
        Image.effect_noise((64, 64), 50).convert("RGB").save(file, kind)
        data = bytearray(file.getvalue())
        for _ in range(2):
            data[chance.randrange(len(data))] ^= 255
        answer = sent(server, bytes(data[: chance.randrange(40, len(data))]))
        assert answer.status_code in (200, 422)
        assert not re.search(r"0x[0-9a-f]+|object at|incoming|\.raw|Error", answer.text)


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "PPM", "ICO", "JPEG2000", "TGA", "PDF", "PCX"])
def test_a13_other_decoders_stay_shut(server: Attacked, kind: str) -> None:
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, kind)
    answer = sent(server, file.getvalue(), f"x.{kind.lower()}")
    assert (answer.status_code, answer.json()["code"]) == (422, "INPUT_IMAGE_BAD")


def test_a27_what_a_photo_says_of_its_owner_is_forgotten(server: Attacked, made: dict[str, Any]) -> None:
    assert CAMERA.encode() in photo()
    for path in (*server.files(), *server.data.glob("wanvideo.db*")):
        assert CAMERA.encode() not in path.read_bytes(), path
    with Image.open(server.data / "inputs" / made["image_path"]) as stored:
        assert not stored.getexif()
        assert not stored.info


def test_a27_a_video_says_what_made_it_unless_it_should_not(server: Attacked, made: dict[str, Any]) -> None:
    (video,) = (server.data / "outputs").iterdir()
    with av.open(str(video)) as container:
        assert json.loads(container.metadata["comment"])["params"]["prompt"] == "a circle"
    quiet = server.submit(embed_settings=False).json()["task_id"]
    with closing(sqlite3.connect(f"file:{server.data / 'wanvideo.db'}?mode=ro", uri=True)) as database:
        (spec,) = database.execute("SELECT spec FROM jobs WHERE id = ?", (quiet,)).fetchone()
    assert json.loads(spec)["embed"] is False
