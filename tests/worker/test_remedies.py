"""What is offered when memory has run out."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

import wanvideo
from wanvideo.pipelines.loras import usual_library
from wanvideo.request import LoraUse, Tier
from wanvideo.runtime.machine import H100, PROFILES
from wanvideo.worker import remedies as module


def test_what_is_offered_has_room_for_the_loras_too(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def planned(name: str, **wish: Any) -> wanvideo.Forecast:
        asked.append({"name": name, **wish})
        sizes = {key: wish[key] for key in ("width", "height", "frames", "steps", "tier")}
        return wanvideo.plan("t2v-A14B", machine="rtx-4080-128gb", **sizes)

    monkeypatch.setattr(module, "plan", planned)
    monkeypatch.setattr(module, "this_machine", lambda *_: PROFILES["rtx-4080-128gb"])
    monkeypatch.setattr(module, "load_calibration", lambda *_: H100)
    monkeypatch.setattr(module, "gpu_memory", lambda _: SimpleNamespace(others=()))
    model: Any = SimpleNamespace(path="folder", entry=SimpleNamespace(id="t2v-A14B"))
    request: Any = SimpleNamespace(width=1280, height=720, frames=81, steps=4, image=None)
    device: Any = SimpleNamespace(on_gpu=True, device=torch.device("cuda", 0))
    loras, library = (LoraUse(source="ink"),), usual_library()
    found = module.remedies(model, request, loras, library, Tier.EXACT, device, None)
    assert [(each["name"], each["loras"], each["library"]) for each in asked] == [
        ("folder", loras, library),
        ("ti2v-5B", loras, library),
    ]
    assert {each.code for each in found} >= {"fitting", "fitting_model"}
