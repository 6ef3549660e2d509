"""Small networks get one thread."""

import pytest
import torch

from wanvideo.runtime.cpu import SMALL, fitting_threads


def test_small_networks_get_one_thread_for_as_long_as_they_run() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with fitting_threads(SMALL - 1):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
        with fitting_threads(SMALL):
            assert torch.get_num_threads() == 2
        with pytest.raises(KeyError), fitting_threads(1):
            raise KeyError
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
