"""Pictures and LoRAs with wrong bytes in them: whatever they are, they are taken or refused, and the server stays."""

import io
import json
import random
import struct
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import httpx2
from PIL import Image

from benchmarks.reliability.record import Row, Tell, none_of
from benchmarks.reliability.server import SMALL, Server, running

USUAL: Final = 40  # lines
EACH: Final = 50  # files of each kind, for a line
LEAKS: Final = ("Traceback", "site-packages", "/tmp/", "0x7f")


def run(trials: range, tell: Tell, each: int = EACH) -> None:
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as server, server.client() as client:
        client.post("/api/v1/queue/pause", json={})
        for number in trials:
            chance = random.Random(number)
            found = {"pictures": each, "loras": each, "taken": 0, "untyped": 0, "leaks": 0, "died": 0}
            for _ in range(each):
                _note(found, server, client, mutated(picture(chance), chance), _picture)
                _note(found, server, client, mutated(lora(chance), chance), _lora)
            tell(found)


def _note(
    found: dict[str, int],
    server: Server,
    client: httpx2.Client,
    data: bytes,
    send: Callable[[httpx2.Client, bytes], httpx2.Response],
) -> None:
    assert server.process is not None
    try:
        answer = send(client, data)
    except httpx2.HTTPError:
        found["died"] += 1
        server.start()
        return
    found["taken"] += answer.status_code == 200
    found["untyped"] += answer.status_code >= 500 or (answer.status_code != 200 and not answer.json().get("code"))
    found["leaks"] += any(leak in answer.text for leak in LEAKS)
    found["died"] += server.process.poll() is not None


def picture(chance: random.Random) -> bytes:
    """A small one, of a kind that is taken."""
    made = Image.frombytes("RGB", (24, 16), chance.randbytes(24 * 16 * 3))
    out = io.BytesIO()
    made.save(out, chance.choice(("PNG", "JPEG", "WEBP")))
    return out.getvalue()


def lora(chance: random.Random) -> bytes:
    """Two matrices for one layer, as safetensors."""
    rank, width = chance.choice((1, 4)), 64
    shapes = {"lora_A": (rank, width), "lora_B": (width, rank)}
    header, at = {}, 0
    for name, shape in shapes.items():
        nbytes = 4 * shape[0] * shape[1]
        key = f"diffusion_model.blocks.0.self_attn.q.{name}.weight"
        header[key] = {"dtype": "F32", "shape": list(shape), "data_offsets": [at, at + nbytes]}
        at += nbytes
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + chance.randbytes(at)


def mutated(data: bytes, chance: random.Random) -> bytes:
    """With one to eight changes; most of them near the beginning, where the structure is."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 8)):
        end = max(1, min(len(changed), chance.choice((16, 128, len(changed)))))
        at = chance.randrange(end)
        match chance.randrange(6):
            case 0:
                changed[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                del changed[at:]
            case 2:
                changed[at:at] = chance.randbytes(chance.randint(1, 64))
            case 3:
                del changed[at : at + chance.randint(1, 32)]
            case 4:
                changed[at : at + 4] = chance.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff"))
            case _:
                changed[at : at + 8] = struct.pack("<Q", chance.choice((0, 1, 2**31, 2**63 - 1, 2**64 - 1)))
        if not changed:
            return b""
    return bytes(changed)


def _picture(client: httpx2.Client, data: bytes) -> httpx2.Response:
    form = {name: str(value) for name, value in SMALL.items()} | {"model_type": "I2V-A14B"}
    return client.post("/api/v1/generation/submit", data=form, files={"image": ("p.png", data)})


def _lora(client: httpx2.Client, data: bytes) -> httpx2.Response:
    return client.post("/api/v1/lora/upload", files={"file": ("l.safetensors", data)})


def rows(lines: Sequence[Mapping[str, Any]]) -> list[Row]:
    count = sum(line["pictures"] + line["loras"] for line in lines)
    found = [Row("files, and of them taken", f"{count} and {sum(line['taken'] for line in lines)}")]
    for name, what in (
        ("died", "deaths of the server"),
        ("untyped", "errors without a code, or of the server"),
        ("leaks", "answers that show a path, an address or a traceback"),
    ):
        found.append(none_of(what, sum(line[name] for line in lines), count))
    return found
