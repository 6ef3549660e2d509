import pytest
import torch

from tests.models.reference import relative_error, text_encoders
from wanvideo.models.config import TextEncoderConfig
from wanvideo.models.text_encoder import UMT5Encoder, relative_buckets


def mask_of(lengths: list[int], width: int) -> torch.Tensor:
    return torch.arange(width)[None] < torch.tensor(lengths)[:, None]


@torch.no_grad()
def test_it_computes_what_transformers_computes() -> None:
    ours, theirs = text_encoders()
    ids, mask = torch.randint(2, 96, (2, 140)), mask_of([140, 33], 140)
    expected = theirs(ids, attention_mask=mask.long()).last_hidden_state * mask.unsqueeze(-1)
    assert relative_error(ours(ids, mask), expected) <= 1e-5


@torch.no_grad()
def test_rows_beyond_the_prompt_are_zero_and_change_nothing_before_them() -> None:
    ours, _ = text_encoders()
    ids = torch.randint(2, 96, (1, 12))
    padded = torch.cat([ids, torch.zeros(1, 20, dtype=torch.int64)], dim=1)
    result = ours(padded, mask_of([12], 32))
    assert not result[:, 12:].any()
    torch.testing.assert_close(result[:, :12], ours(ids, mask_of([12], 12)), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("offset", "bucket"),
    [(0, 0), (-1, 1), (1, 17), (-8, 8), (45, 28), (46, 29), (-91, 15), (91, 31), (-500, 15), (500, 31)],
)
def test_distances_fall_into_the_official_buckets(offset: int, bucket: int) -> None:
    buckets = relative_buckets(501, 32, 128)
    query, key = (0, offset) if offset >= 0 else (-offset, 0)
    assert buckets[query, key] == bucket


def test_buckets_change_at_the_official_distances() -> None:
    row = relative_buckets(120, 32, 128)[:, 0]  # distance of key 0 from every query
    steps = [i for i in range(8, 120) if row[i] != row[i - 1]]
    assert steps == [8, 12, 16, 23, 32, 46, 64, 91]


def test_every_layer_has_its_own_table_of_positions() -> None:
    config = TextEncoderConfig(dim=8, num_layers=3, num_heads=2, head_dim=4, ffn_dim=8, vocab_size=10)
    names = [name for name in UMT5Encoder(config).state_dict() if "pos_embedding" in name]
    assert names == [f"blocks.{i}.pos_embedding.embedding.weight" for i in range(3)]
