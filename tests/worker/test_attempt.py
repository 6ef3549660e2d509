"""One job in this process, where what it meets can be arranged."""

from typing import Any

import pytest

from tests.pipelines.placed import runs_out
from tests.worker.conftest import spec
from wanvideo.models.vae import WanVAE
from wanvideo.worker.attempt import Attempt
from wanvideo.worker.device import Device
from wanvideo.worker.settings import WorkerSettings
from wanvideo.worker.warm import WarmModels


def test_when_memory_runs_out_while_decoding_it_tells_and_the_video_comes(
    settings: WorkerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WanVAE, "pixels", runs_out(WanVAE.pixels, {2}))
    told: list[dict[str, Any]] = []
    folder = settings.data.job("a" * 32)
    folder.mkdir(parents=True)
    order = {
        "job": "a" * 32,
        "created": 0,
        "folder": str(folder),
        "resume": True,
        "spec": spec(width=192, frames=5).to_json(),
    }
    device = Device.of("cpu")
    models = WarmModels(settings.library, device.room)
    attempt = Attempt(
        order, settings, device, models, tell=lambda event: told.append(dict(event)), cancelled=lambda: False
    )
    result = attempt.run()
    models.free()
    assert result["frames"] == 5
    (adapted,) = [event for event in told if event["type"] == "adapted"]
    assert (adapted["field"], adapted["used"]) == ("decode", "in tiles of 128x64")
    decoded = [(event["step"], event["steps"]) for event in told if event.get("phase") == "decode"]
    assert decoded == [(0, 2), (1, 2), *((step, 4) for step in range(5))]  # whole; then two tiles of two chunks
