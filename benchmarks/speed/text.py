"""The text encoder on two prompts of full length, ours and transformers', with the same random weights."""

from typing import Final

import torch

from benchmarks.full_size import random_weights
from benchmarks.speed.adapters import peer_or_skip
from benchmarks.speed.bench import Bench
from benchmarks.speed.clock import measure
from benchmarks.speed.forward import relative_error
from benchmarks.speed.record import OURS
from benchmarks.speed.vae import SQUARE
from wanvideo.models.config import UMT5_XXL, TextEncoderConfig
from wanvideo.models.text_encoder import UMT5Encoder

PART: Final = "text"
PROMPTS: Final = 2
TINY: Final = TextEncoderConfig(dim=32, num_layers=2, num_heads=4, head_dim=8, ffn_dim=48, vocab_size=96)


def run(bench: Bench) -> None:
    config, tokens = (TINY, 16) if bench.tiny else (UMT5_XXL, 512)
    torch.manual_seed(0)
    case = f"{PROMPTS} prompts of {tokens} tokens"
    encoder = bench.prepare(PART, case, lambda: draw(bench, config))
    if encoder is None:
        return
    ids = torch.randint(3, config.vocab_size, (PROMPTS, tokens), device=bench.device)
    mask = torch.ones(PROMPTS, tokens, dtype=torch.bool, device=bench.device)
    with bench.case(PART, case, f"{OURS} exact", "variance of the norms in float32") as row:
        timing = measure(lambda: encoder(ids, mask), bench.device, repeats=bench.repeats)
        row |= timing.numbers
        if not bench.tiny:
            bound = flop(config, tokens) / bench.ceilings.product("native", SQUARE, SQUARE, SQUARE)
            row |= {"roofline_seconds": bound, "of_roofline": bound / timing.seconds}
    if not bench.peer:
        return
    with bench.case(PART, case, "transformers", "the same") as row:
        theirs = peer_or_skip().peer_text_encoder(encoder)
        timing = measure(lambda: theirs(ids, mask.long()), bench.device, repeats=bench.repeats)
        row |= timing.numbers
        with torch.no_grad():
            row["relative_error_to_exact"] = relative_error(
                theirs(ids, mask.long()).last_hidden_state, encoder(ids, mask)
            )


def draw(bench: Bench, config: TextEncoderConfig) -> UMT5Encoder:
    """Random weights; queries are as small as T5 starts with, since large random logits are chaos."""
    encoder = random_weights(lambda: UMT5Encoder(config), bench.device, bench.dtype, False)
    for name, weight in encoder.named_parameters():
        if name.endswith("attn.q.weight"):
            weight.mul_(config.head_dim**-0.5)
    return encoder


def flop(config: TextEncoderConfig, tokens: int) -> float:
    """Of both prompts."""
    inner = config.num_heads * config.head_dim
    weights = 4 * config.dim * inner + 3 * config.dim * config.ffn_dim
    return PROMPTS * config.num_layers * (2.0 * tokens * weights + 4.0 * tokens**2 * inner)
