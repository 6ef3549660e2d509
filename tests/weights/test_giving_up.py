from collections.abc import Callable
from itertools import count

import pytest
import torch

from wanvideo.errors import Cancelled
from wanvideo.weights.folder import open_folder
from wanvideo.weights.giving_up import given_up_when
from wanvideo.weights.loading import load_transformer
from wanvideo.weights.places import DEMO_FOLDER


def after(calls: int) -> Callable[[], bool]:
    numbers = count(1)
    return lambda: next(numbers) > calls


def test_a_model_that_is_being_read_can_be_given_up_between_two_tensors() -> None:
    (part, _) = open_folder(DEMO_FOLDER / "t2v-A14B-demo").transformers
    with given_up_when(after(5)), pytest.raises(Cancelled):
        load_transformer(part, device=torch.device("cpu"), dtype=torch.float32)
    with given_up_when(lambda: False):
        load_transformer(part, device=torch.device("cpu"), dtype=torch.float32)
    load_transformer(part, device=torch.device("cpu"), dtype=torch.float32)  # who never asks is never told
