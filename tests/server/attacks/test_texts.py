"""What strangers can put where a name, a prompt or a value belongs: A6, A7, A12, A22, A23."""

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.server.attacks.conftest import CANARY, MARKUP, Listener, Tried
from tests.server.attacks.serving import HUB_TOKEN, Attacked

# What no stranger should learn: places on this computer, addresses in memory, how it is built.
LEAKS = re.compile(
    r"/home/|/root/|/tmp/|/usr/lib|site-packages|Traceback|File \"|0x[0-9a-f]{8,}|sqlite3\.|SELECT |\.py\b"
)


def test_a06_no_text_leads_to_a_file(server: Attacked, tried: list[Tried], outside: Path) -> None:
    for each in tried:
        assert CANARY not in each.answer.text, each
        assert "root:x:0" not in each.answer.text, each
    assert outside.read_text() == CANARY
    assert not [path for path in server.files() if "canary" in path.name and path != outside]


@pytest.mark.parametrize("target", ["/thumbnails/..%2f..%2fcanary.txt", "/thumbnails/%2e%2e%2f%2e%2e%2fcanary.txt",
                                    "/assets/../../canary.txt", "/%2e%2e/canary.txt", "//canary.txt",
                                    "/api/v1/../../canary.txt", "/thumbnails/../canary.txt\x00_thumb.jpg"])  # fmt: skip
def test_a06_no_address_leads_to_a_file(server: Attacked, target: str) -> None:
    answer = server.raw(f"GET {target} HTTP/1.1\r\nHost: localhost:{server.port}\r\n\r\n".encode())
    assert answer.split()[1] in (b"400", b"404", b"422")
    assert CANARY.encode() not in answer


def test_a06_links_that_somebody_planted_are_not_followed(
    server: Attacked, made: dict[str, Any], outside: Path
) -> None:
    task = made["id"]
    (video,) = (server.data / "outputs").iterdir()
    thumbnail = server.data / "thumbnails" / f"{task}_thumb.jpg"
    addresses = {
        video: [f"/api/v1/outputs/{task}/{name}" for name in ("download", "video")],
        thumbnail: [f"/api/v1/outputs/{task}/thumbnail", f"/thumbnails/{thumbnail.name}"],
    }
    addresses[video].append(f"/v1/videos/video_{task}/content")
    addresses[thumbnail].append(f"/v1/videos/video_{task}/content?variant=thumbnail")
    for file, paths in addresses.items():
        assert all(server.client.get(path).status_code == 200 for path in paths)
        kept = file.rename(server.home / file.name)
        file.symlink_to(outside)
        try:
            for path in paths:
                assert server.client.get(path).status_code in (404, 410), path
        finally:
            kept.replace(file)


def test_a07_no_text_comes_back_as_a_page(server: Attacked, tried: list[Tried]) -> None:
    """The web app's own page, where it is built, is what a browser gets at addresses that nothing else has."""
    page = server.client.get("/", headers={"accept": "text/html"})
    for each in tried:
        kind = each.answer.headers.get("content-type", "")
        if "html" in kind or "xml" in kind or "svg" in kind:
            assert MARKUP not in each.answer.text, each
            assert each.slot.place == "path", each
            assert each.answer.status_code == 404 or each.answer.content == page.content, each


def test_a07_only_pictures_come_back_and_clean(server: Attacked) -> None:
    page = b"<html><script>alert(1)</script></html>"
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'
    for upload in (page, svg, b"GIF89a" + page, b"\xef\xbb\xbf" + page, b"<?xml version='1.0'?>" + page):
        form = {"model_type": "i2v-A14B-demo", "prompt": "a circle", "held": "true"}
        files = {"image": ("x.png", upload, "image/png")}
        answer = server.client.post("/api/v1/generation/submit", data=form, files=files)
        assert (answer.status_code, answer.json()["category"]) == (422, "input")


def test_a07_a_picture_that_is_also_a_page_is_stored_as_a_picture_alone(server: Attacked, made: dict[str, Any]) -> None:
    import io

    from PIL import Image, PngImagePlugin

    script = b"<script>alert(1)</script>"
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", script.decode())
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "PNG", pnginfo=text)
    form = {"model_type": "i2v-A14B-demo", "prompt": "a circle", "held": "true"}
    files = {"image": (f"{MARKUP}.html", file.getvalue() + script, "text/html")}
    answer = server.client.post("/api/v1/generation/submit", data=form, files=files)
    assert answer.status_code == 200
    stored = server.data / "inputs" / answer.json()["tasks"][0]["image_path"]
    assert script not in stored.read_bytes()
    assert MARKUP not in answer.text


def test_a12_no_address_is_fetched_for_a_client(server: Attacked, tried: list[Tried], listener: Listener) -> None:
    assert any(each.text == listener.url for each in tried)
    for url in (listener.url, "file:///etc/passwd", "data:text/html;base64,PHNjcmlwdD4=", "ftp://127.0.0.1/x"):
        for body in ({"input_reference": {"image_url": url}}, {"input_reference_url": url}, {"image_url": url}):
            answer = server.client.post("/v1/videos", json={"prompt": "a circle", "model": "i2v-A14B-demo"} | body)
            assert answer.status_code == 400, (url, body)
    assert listener.calls == []


def test_a22_errors_say_nothing_of_this_computer(server: Attacked, tried: list[Tried]) -> None:
    for method, path in server.operations():
        if method == "GET" and not path.endswith("/stream"):
            assert str(server.home) not in server.client.get(path).text, path
    for each in tried:
        said = each.answer.text.replace(each.text, "").replace(json.dumps(each.text)[1:-1], "")
        assert each.answer.status_code < 500 or each.answer.status_code in (502, 503), each
        assert str(server.home) not in said, each
        if each.answer.status_code >= 400 and "html" not in each.answer.headers["content-type"]:
            assert not LEAKS.search(said), each


def test_a23_a_text_is_only_a_text(server: Attacked, tried: list[Tried]) -> None:
    assert not list(Path.cwd().glob("canary*")) + list(server.home.rglob("canary2.txt"))
    for each in tried:
        assert "x-injected" not in each.answer.headers, each
    with closing(sqlite3.connect(f"file:{server.data / 'wanvideo.db'}?mode=ro", uri=True)) as database:
        assert database.execute("PRAGMA quick_check").fetchone() == ("ok",)
        assert database.execute("SELECT count(*) FROM jobs").fetchone() > (1,)
    for line in server.log.splitlines():
        assert json.loads(line)["event"] != "forged"
    assert HUB_TOKEN not in server.log
