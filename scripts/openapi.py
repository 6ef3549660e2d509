"""Print what the server's API is, as OpenAPI: what the types of the web app are made from."""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from wanvideo.server.app import create_app
from wanvideo.server.build import build
from wanvideo.server.parts import Sources
from wanvideo.server.settings import Settings
from wanvideo.weights.lora.library import LoraLibrary
from wanvideo.weights.places import Places

PROBLEM: Final = {
    "description": "What went wrong.",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


def document() -> dict[str, Any]:
    """Of a server that never runs."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        sources = Sources(places=Places(hub_cache=folder), hubs=(), library=LoraLibrary(folder=folder))
        parts = build(Settings(data_dir=folder), sources, workers=lambda *_: {})
        try:
            return create_app(parts).openapi()
        finally:
            parts.closing.close()


def text() -> str:
    """As it is kept in web/openapi.json: without the version, so that a release changes nothing, and with the errors,
    which are all alike, said once for each address."""
    found = document()
    found["info"]["version"] = "0"
    for path in (*found["paths"].values(), *found["webhooks"].values()):
        for operation in path.values():
            said = operation["responses"]
            fine = {status: answer for status, answer in said.items() if status[0] in "123"}
            operation["responses"] = {**fine, "default": PROBLEM}
    return json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
