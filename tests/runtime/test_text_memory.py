import copy

import pytest
import torch

from wanvideo.models.config import TransformerConfig
from wanvideo.models.transformer import Attention, WanTransformer
from wanvideo.runtime.text_memory import remembered_text

CONFIG = TransformerConfig(
    in_channels=16, out_channels=16, num_heads=2, num_layers=2, ffn_dim=64, head_dim=32, text_dim=48
)


def test_a_text_is_read_once_and_everything_stays_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = WanTransformer(CONFIG).eval().requires_grad_(False)
    plain = copy.deepcopy(model)
    x, time = torch.randn(1, 16, 2, 8, 8), torch.tensor([500.0])
    texts = [torch.randn(1, 20, 48) for _ in range(3)]
    calls: list[int] = []
    original = Attention.keys_and_values

    def counted(self: Attention, *args: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        calls.append(1)
        return original(self, *args)

    with monkeypatch.context() as patch, torch.no_grad():
        patch.setattr(Attention, "keys_and_values", counted)
        with remembered_text(model):
            for step in range(3):
                for text in texts[:2]:
                    assert torch.equal(model(x + step, time, text), plain(x + step, time, text))
            first, second = len(calls), len(calls)
            model(x, time, texts[0])
            # Of each forward, the self-attention of both blocks; the text is known.
            assert len(calls) - first == 2
            model(x, time, texts[2])
            assert len(calls) - second == 2 + 2 + 2
        after = len(calls)
        model(x, time, texts[0])
        assert len(calls) - after == 4


def test_nothing_is_left_behind_when_it_fails() -> None:
    model = WanTransformer(CONFIG)
    with pytest.raises(ZeroDivisionError), remembered_text(model):
        raise ZeroDivisionError
    assert "keys_and_values" not in vars(model.blocks[0].get_submodule("cross_attn"))
    assert "forward" not in vars(model.text_embedding)
