"""What `import wanvideo` gives."""

import subprocess
import sys

import pytest

import wanvideo


def test_every_public_name_is_there() -> None:
    assert sorted(wanvideo.__all__) == wanvideo.__all__
    for name in wanvideo.__all__:
        assert getattr(wanvideo, name) is not None


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'lode'"):
        wanvideo.lode  # noqa: B018


def test_importing_it_imports_nothing_heavy() -> None:
    code = "import sys, wanvideo; print([name for name in ('torch', 'numpy', 'PIL', 'av') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
