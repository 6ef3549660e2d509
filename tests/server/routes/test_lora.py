"""The LoRA library, over HTTP."""

from pathlib import Path

import pytest

from tests.server.serving import Serving
from wanvideo.weights.places import DEMO_FOLDER

LORA = "/api/v1/lora"
SLANTED = (DEMO_FOLDER / "loras" / "slanted.safetensors").read_bytes()


def upload(
    server: Serving, data: bytes, file: str = "mine.safetensors", **fields: str
) -> tuple[int, dict[str, object]]:
    answer = server.client.post(f"{LORA}/upload", files={"file": (file, data)}, data=fields)
    return answer.status_code, answer.json()


def test_a_lora_is_added_shown_used_and_removed(fresh: Serving) -> None:
    status, added = upload(fresh, SLANTED, name="my style")
    assert (status, added["success"], added["name"]) == (200, True, "my style")
    entry = next(each for each in fresh.get(f"{LORA}/list")["loras"] if each["name"] == "my style")
    assert entry["models"] == ["t2v-A14B-demo", "i2v-A14B-demo", "ti2v-5B-demo"]  # by what it fits, no real one
    assert entry["compatible_models"] == ["T2V-A14B", "I2V-A14B", "TI2V-5B"]
    assert "/" not in entry["path"]
    assert fresh.submit(lora_path=entry["path"], lora_strength=0.5)["tasks"][0]["lora_path"] == "my style"
    assert fresh.get(f"{LORA}/my%20style/status")["exists"] is True
    impact = fresh.get(f"{LORA}/my%20style/memory-impact")
    assert (impact["can_load"], impact["memory_impact"]) == (True, "low")
    assert fresh.client.request("DELETE", f"{LORA}/my%20style").json()["success"] is True
    assert fresh.get(f"{LORA}/my%20style/status")["exists"] is False
    assert fresh.parts.sources.library.folder is not None
    assert not list(fresh.parts.sources.library.folder.iterdir())  # and nothing of the upload is left


@pytest.mark.parametrize(
    ("data", "file", "code"),
    [
        (b"\x80\x04\x95evil", "x.safetensors", "LORA_UNSAFE_FORMAT"),
        (b"PK\x03\x04evil", "x.safetensors", "LORA_UNSAFE_FORMAT"),
        (SLANTED, "x.PT", "LORA_UNSAFE_FORMAT"),
        (SLANTED[:1000], "x.safetensors", "LORA_CORRUPT"),
        (b"", "x.safetensors", "LORA_CORRUPT"),
    ],
)
def test_what_is_no_safe_lora_is_refused(idle: Serving, data: bytes, file: str, code: str) -> None:
    status, problem = upload(idle, data, file)
    assert (status, problem["code"]) == (422, code)
    assert str(problem["message"]).startswith(file.partition(".")[0])
    assert ".upload" not in str(problem)


def test_a_name_is_taken_once(fresh: Serving) -> None:
    assert upload(fresh, SLANTED, name="slanted")[0] == 409  # ships with the package
    assert upload(fresh, SLANTED, name="../../evil")[0] == 422
    assert upload(fresh, SLANTED, file="../../evil.safetensors")[0] == 200
    assert sorted(path.name for path in Path(fresh.parts.sources.library.folder or "").iterdir()) == [
        "evil.safetensors"
    ]


def test_a_preview_takes_both_forms_of_the_prompt(idle: Serving) -> None:
    form = idle.client.post(f"{LORA}/slanted/preview", files={"base_prompt": (None, "a circle")})
    assert form.json()["base_prompt"] == "a circle"
    assert idle.post(f"{LORA}/slanted/preview", {"prompt": "a circle"})["enhanced_prompt"].startswith("a circle")
    assert idle.client.post(f"{LORA}/slanted/preview", json={"prompt": ""}).status_code == 422


def test_what_is_not_ours_stays(idle: Serving) -> None:
    assert idle.client.request("DELETE", f"{LORA}/slanted").status_code == 422
    for name in ("nope", "..%2f..%2fetc%2fpasswd", "%2fetc%2fpasswd"):
        assert idle.client.get(f"{LORA}/{name}/memory-impact").status_code == 404


def test_it_is_seen_which_keys_have_a_place(fresh: Serving) -> None:
    upload(fresh, SLANTED, name="mine")
    found = fresh.get(f"{LORA}/mine/keys", model_type="t2v-A14B-demo")
    assert (found["fits"], found["unmatched"]) == (True, [])
    assert all(layer.startswith("blocks.") for layer in found["matched"])
    other = fresh.get(f"{LORA}/mine/keys", model_type="wan2.1-t2v-14B")
    assert (other["fits"], other["matched"]) == (False, [])
    assert "width" in other["problem"] or "made for" in other["problem"]


def test_notes_and_trigger_words_are_kept_beside_the_file(fresh: Serving) -> None:
    upload(fresh, SLANTED, name="mine")
    said = fresh.client.patch(
        f"{LORA}/mine/notes", json={"trigger_words": [" slanted ", ""], "notes": "from my tests"}
    ).json()
    assert (said["trigger_words"], said["notes"]) == (["slanted"], "from my tests")
    said = fresh.client.patch(f"{LORA}/mine/notes", json={"notes": "other"}).json()
    assert (said["trigger_words"], said["notes"]) == (["slanted"], "other")
    assert fresh.client.patch(f"{LORA}/slanted/notes", json={"notes": "x"}).status_code == 422
