import pytest
import torch

from wanvideo.errors import InvalidRequest
from wanvideo.pipelines.device import limited_memory, pick_device


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """What PyTorch says where there are two, of which the second is the current one."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)


@pytest.mark.parametrize(("name", "number"), [(None, 1), ("auto", 1), ("cuda", 1), ("cuda:0", 0), ("cuda:1", 1)])
def test_a_gpu_has_its_number(two_gpus: None, name: str | None, number: int) -> None:
    assert pick_device(name) == torch.device("cuda", number)


def test_a_gpu_that_is_not_there_is_refused(two_gpus: None) -> None:
    with pytest.raises(InvalidRequest, match="cuda:2 is not there: PyTorch finds 2"):
        pick_device("cuda:2")


@pytest.mark.gpu
def test_the_memory_of_a_gpu_can_be_limited() -> None:
    device = pick_device("cuda")
    with limited_memory(device, 2**28), pytest.raises(torch.OutOfMemoryError):
        torch.empty(2**29, dtype=torch.uint8, device=device)
    torch.empty(2**29, dtype=torch.uint8, device=device)
