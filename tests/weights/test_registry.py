from pathlib import Path

import pytest

from wanvideo.errors import ModelCorrupt
from wanvideo.weights.places import Added, Role
from wanvideo.weights.registry import read_registry, register


def test_what_is_registered_is_read_back_the_newest_first(tmp_path: Path) -> None:
    file = tmp_path / "data" / "models.json"
    assert read_registry(file) == ()
    register(file, Added(path=Path("/models/a")))
    register(file, Added(path=Path("/models/ü b.gguf"), role=Role.HIGH))
    register(file, Added(path=Path("/models/a"), role=Role.ONLY))
    assert read_registry(file) == (
        Added(path=Path("/models/a"), role=Role.ONLY),
        Added(path=Path("/models/ü b.gguf"), role=Role.HIGH),
    )
    assert [path.name for path in file.parent.iterdir()] == ["models.json"]


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "{}",
        '{"version": 2, "added": []}',
        '{"version": 1, "added": [3]}',
        '{"version": 1, "added": [{"path": "relative"}]}',
        '{"version": 1, "added": [{"path": "/a", "role": "third"}]}',
        "\0\0\0",
    ],
)
def test_a_damaged_list_is_named(tmp_path: Path, content: str) -> None:
    file = tmp_path / "models.json"
    file.write_text(content)
    with pytest.raises(ModelCorrupt, match=r"models\.json"):
        read_registry(file)
