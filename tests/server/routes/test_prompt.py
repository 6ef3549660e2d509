"""Help with prompts, over HTTP."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

from tests.server.serving import Serving, no_workers, serving

PROMPT = "/api/v1/prompt"


def test_rules_are_called_rules(idle: Serving) -> None:
    body = {"prompt": "a heron lands", "options": {"apply_cinematic": True, "apply_style": False}}
    made = idle.post(f"{PROMPT}/enhance", body)
    assert made["enhanced_prompt"].startswith("a heron lands, ")
    assert all(name.startswith("rule: ") for name in made["enhancements_applied"])
    count = made["character_count"]
    assert count["original"] + count["difference"] == count["enhanced"]
    assert idle.post(f"{PROMPT}/enhance", {"prompt": body}) == made  # nested, as one client sends it


def test_the_other_questions(idle: Serving) -> None:
    assert idle.post(f"{PROMPT}/preview", {"prompt": "x", "options": {}})["suggested_enhancements"]
    assert idle.post(f"{PROMPT}/validate", {"prompt": "a heron"})["is_valid"] is True
    assert idle.post(f"{PROMPT}/validate", {"prompt": " "})["is_valid"] is False
    assert idle.get(f"{PROMPT}/styles")["total_count"] > 0
    assert idle.client.post(f"{PROMPT}/enhance", json={"prompt": ""}).status_code == 422


def test_tokens_are_those_of_the_model(idle: Serving) -> None:
    one, two = (
        idle.post(f"{PROMPT}/tokens", {"prompt": prompt, "model_type": "t2v-A14B-demo"})
        for prompt in ("a small red circle", "a small red circle moves\nleft")
    )
    assert 1 < one["tokens"] < two["tokens"] < one["limit"] == two["limit"]
    none = idle.client.post(f"{PROMPT}/tokens", json={"prompt": "x", "model_type": "wan2.1-t2v-1.3B"})
    assert (none.status_code, none.json()["code"]) == (409, "MODEL_MISSING")


@contextmanager
def language_model(answer: bytes) -> Iterator[tuple[str, list[dict[str, object]]]]:
    """An OpenAI-compatible server that says one thing; its address, and what it was asked."""
    asked: list[dict[str, object]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            asked[-1]["key"] = self.headers["Authorization"]
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1", asked
        server.shutdown()


def test_a_language_model_of_the_operator_is_asked(tmp_path: Path) -> None:
    said = {"choices": [{"message": {"content": "<think>hm</think> A grey heron glides over a lake."}}]}
    with language_model(json.dumps(said).encode()) as (url, asked):
        chosen: dict[str, Any] = {"enhancer_url": url, "enhancer_model": "small", "enhancer_key": "sk-secret"}
        with serving(tmp_path, workers=no_workers, **chosen) as server:
            made = server.post(f"{PROMPT}/enhance", {"prompt": "a heron"})
            by_rule = server.post(f"{PROMPT}/enhance", {"prompt": "a heron", "options": {"use_rules": True}})
    assert made["enhanced_prompt"] == "A grey heron glides over a lake."
    assert made["enhancements_applied"] == ["language model: small"]
    assert by_rule["enhancements_applied"][0].startswith("rule")
    assert (asked[0]["model"], asked[0]["key"], len(asked)) == ("small", "Bearer sk-secret", 1)


def test_one_that_answers_nonsense_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with (
        language_model(b"<html>") as (url, _),
        serving(tmp_path, workers=no_workers, enhancer_url=url, enhancer_model="small") as server,
    ):
        answer = server.client.post(f"{PROMPT}/enhance", json={"prompt": "a heron"})
    assert (answer.status_code, answer.json()["code"]) == (503, "NOT_READY")
