"""What is trained beside a transformer comes out as a LoRA that does the same in the product."""

from pathlib import Path

import torch

from tests.weights.lora.dialects import TINY, write
from training.demo.low_rank import TARGETS, LowRank, adapt, peft_tensors, set_strength
from wanvideo.models.transformer import WanTransformer
from wanvideo.runtime.lora import applied
from wanvideo.weights.lora.file import fit, read_lora
from wanvideo.weights.lora.tensors import Share, read_deltas
from wanvideo.weights.variants import Part


def velocity(model: WanTransformer) -> torch.Tensor:
    torch.manual_seed(5)
    with torch.no_grad():
        return model(torch.randn(1, 16, 2, 4, 4), torch.tensor([500.0]), torch.randn(1, 5, 16))  # type: ignore[no-any-return]


def trained() -> tuple[WanTransformer, WanTransformer]:
    """A transformer, and the same with something learnt beside it."""
    torch.manual_seed(0)
    plain = WanTransformer(TINY)
    learner = WanTransformer(TINY)
    learner.load_state_dict(plain.state_dict())
    learner = adapt(learner, rank=3)
    for module in learner.modules():
        if isinstance(module, LowRank):
            torch.nn.init.normal_(module.up, std=0.1)
    return plain, learner


def test_only_what_is_beside_the_linears_is_trained_and_begins_as_nothing() -> None:
    torch.manual_seed(0)
    model = WanTransformer(TINY)
    before = velocity(model)
    learnt = [name for name, p in adapt(model, rank=3).named_parameters() if p.requires_grad]
    assert len(learnt) == 2 * len(TARGETS) * TINY.num_layers
    assert velocity(model).equal(before)


def test_the_file_does_what_was_trained_at_every_strength(tmp_path: Path) -> None:
    plain, learner = trained()
    values = {name: p.detach() for name, p in learner.named_parameters() if p.requires_grad}
    other = {name: torch.zeros_like(value) for name, value in values.items()}
    tensors = peft_tensors(learner, other, "transformer") | peft_tensors(learner, values, "transformer_2")
    fitted = fit(read_lora(write(tmp_path / "lora.safetensors", tensors)), TINY)
    assert fitted.misfits == ()
    for strength in (0.0, 0.5, 1.0):
        set_strength(learner, strength)
        share = Share(file=fitted.file, targets=fitted.of(Part.TRANSFORMER_2), strength=strength)
        with applied(plain, read_deltas([share]), device=torch.device("cpu"), dtype=torch.float32):
            torch.testing.assert_close(velocity(plain), velocity(learner), atol=1e-5, rtol=1e-5)
