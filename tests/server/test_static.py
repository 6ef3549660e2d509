"""The web app at every address that nothing else has."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.serving import Serving, no_workers, serving

PAGE = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
TOKEN = "a-token-that-is-long-enough"


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("web")
    (folder / "index.html").write_text("<title>the app</title>")
    (folder / "icon.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (folder / "assets").mkdir()
    (folder / "assets" / "index-1a2b.js").write_text("export {}")
    (folder / ".vite").mkdir()
    (folder / ".vite" / "manifest.json").write_text("{}")
    (folder / "assets" / "outside").symlink_to(__file__)
    return folder


@pytest.fixture(scope="module")
def app(web: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("served"), workers=no_workers, web_dir=web, token=TOKEN) as server:
        server.client.headers["authorization"] = f"Bearer {TOKEN}"
        yield server


@pytest.mark.parametrize("path", ["/", "/queue", "/gallery/some-id", "/models?for=ti2v"])
def test_addresses_of_the_app_lead_to_its_page(app: Serving, path: str) -> None:
    answer = app.client.get(path, headers=PAGE)
    assert (answer.status_code, answer.text) == (200, "<title>the app</title>")
    assert answer.headers["cache-control"] == "no-cache"
    assert "default-src 'self'" in answer.headers["content-security-policy"]


def test_the_page_itself_needs_no_browser(app: Serving) -> None:
    assert app.client.get("/").text == "<title>the app</title>"
    assert app.client.head("/").status_code == 200


@pytest.mark.parametrize("path", ["/queue", "/nope"])
def test_programs_get_their_errors_in_json(app: Serving, path: str) -> None:
    answer = app.client.get(path, headers={"accept": "*/*"})
    assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize("path", ["/api/v1/nope", "/v1/nope", "/assets/nope.js", "/thumbnails/a/nope", "/ws/nope"])
def test_addresses_of_programs_are_never_the_page(app: Serving, path: str) -> None:
    answer = app.client.get(path, headers=PAGE)
    assert answer.status_code == 404
    assert "the app" not in answer.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("PUT", "/api/v1/queue", 405), ("GET", "/api/v1/lora/upload", 405), ("POST", "/", 404), ("PUT", "/x", 404)],
)
def test_other_methods_stay_as_they_were(app: Serving, method: str, path: str, status: int) -> None:
    assert app.client.request(method, path, headers=PAGE).status_code == status


def test_files_with_a_hash_in_their_name_are_kept_for_ever(app: Serving) -> None:
    answer = app.client.get("/assets/index-1a2b.js")
    assert answer.text == "export {}"
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    again = app.client.get("/assets/index-1a2b.js", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.headers["cache-control"]) == (304, answer.headers["cache-control"])


def test_what_is_not_there_is_not_kept(app: Serving) -> None:
    assert app.client.get("/assets/index-3c4d.js").headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "path",
    ["/.vite/manifest.json", "/assets/outside", "/assets/..%2f..%2fetc/passwd", "/%2fetc%2fpasswd", "/..%5c..%5cx",
     "/%00", "/" + "a" * 5000],
)  # fmt: skip
def test_nothing_but_the_app_is_served(app: Serving, path: str) -> None:
    assert app.client.get(path).status_code == 404


def test_a_page_that_is_not_built_says_how(tmp_path: Path) -> None:
    with serving(tmp_path, workers=no_workers, web_dir=tmp_path / "nowhere") as server:
        answer = server.client.get("/", headers=PAGE)
        assert answer.status_code == 404
        assert "npm --prefix web run build" in answer.text
        assert server.client.get("/nope").json()["code"] == "NOT_FOUND"


# --- with the token --------------------------------------------------------------------------------------------------


def test_a_person_signs_in_by_a_form(app: Serving) -> None:
    stranger = PAGE | {"authorization": ""}
    for path in ("/", "/queue"):
        asked = app.client.get(path, headers=stranger)
        assert asked.status_code == 401
        assert '<form method="post" action="/"' in asked.text
    wrong = app.client.post("/", headers=stranger, files={"token": (None, "wrong")})
    assert wrong.status_code == 401
    assert "not the token" in wrong.text
    signed_in = app.client.post("/", headers=stranger, files={"token": (None, TOKEN)})
    assert (signed_in.status_code, signed_in.headers["location"]) == (303, "/")
    assert app.client.get("/", headers=stranger).text == "<title>the app</title>"
    app.client.cookies.clear()


def test_the_form_takes_a_token_and_nothing_else(app: Serving) -> None:
    nobody = {"authorization": ""}
    assert app.client.post("/", headers=nobody, files={"token": (None, "x" * 5000)}).status_code == 413
    assert app.client.post("/", headers=nobody, files={"token": ("a.txt", b"x")}).status_code == 400
    assert app.client.post("/", headers=nobody, data={"token": TOKEN}).status_code == 415
    other = nobody | {"origin": "http://evil.example"}
    assert app.client.post("/", headers=other, files={"token": (None, TOKEN)}).status_code == 403
