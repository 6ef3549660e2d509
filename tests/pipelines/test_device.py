import pytest
import torch

from wanvideo.errors import InvalidRequest
from wanvideo.pipelines.device import limited_memory, pick_device, usual_dtype


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


@pytest.mark.parametrize(
    ("capability", "dtype"), [((7, 5), torch.float16), ((8, 0), torch.bfloat16), ((12, 0), torch.bfloat16)]
)
def test_networks_compute_in_16_bits_that_the_gpu_multiplies(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], dtype: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert usual_dtype(torch.device("cuda", 0)) is dtype
    assert usual_dtype(torch.device("cpu")) is torch.float32


@pytest.mark.gpu
def test_the_memory_of_a_gpu_can_be_limited() -> None:
    device = pick_device("cuda")
    with limited_memory(device, 2**28), pytest.raises(torch.OutOfMemoryError):
        torch.empty(2**29, dtype=torch.uint8, device=device)
    torch.empty(2**29, dtype=torch.uint8, device=device)
