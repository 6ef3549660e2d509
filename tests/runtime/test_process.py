import os
import sys

import pytest

from wanvideo.runtime.process import before_torch

NAMES = ("OMP_WAIT_POLICY", "PYTORCH_CUDA_ALLOC_CONF")


def test_settings_are_made_unless_the_user_made_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    monkeypatch.setenv("PYTORCH_CUDA_ALLOC_CONF", "backend:native")
    before_torch()
    assert [os.environ[name] for name in NAMES] == ["active", "backend:native"]


@pytest.mark.parametrize(("platform", "segments"), [("linux", "expandable_segments:True"), ("win32", None)])
def test_segments_grow_where_they_can(platform: str, segments: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.setenv(name, "")  # so that it is put back afterwards
        del os.environ[name]
    monkeypatch.setattr(sys, "platform", platform)
    before_torch()
    assert [os.environ.get(name) for name in NAMES] == ["passive", segments]
