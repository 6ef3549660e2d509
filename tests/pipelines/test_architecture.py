"""What a model weighs, from its headers and from the catalog."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.weights.tiny_models import write_model
from wanvideo.errors import InvalidRequest, ModelMissing
from wanvideo.models.config import T2V_A14B, TI2V_5B, UMT5_XXL, TextEncoderConfig, TransformerConfig
from wanvideo.models.text_encoder import UMT5Encoder
from wanvideo.models.transformer import WanTransformer, keeps_fp32
from wanvideo.pipelines import architecture as module
from wanvideo.pipelines.adapt import adapt
from wanvideo.pipelines.architecture import architecture_in_catalog, architecture_of, work_of
from wanvideo.request import GenerationRequest, ResolvedLora, Tier
from wanvideo.runtime.architecture import (
    VAE_PARAMETERS,
    block_weights,
    rest_weights,
    text_block_weights,
    text_rest_weights,
)
from wanvideo.runtime.quantize import is_rounded, quantize
from wanvideo.weights.catalog import MODELS, resolve
from wanvideo.weights.folder import open_folder
from wanvideo.weights.places import DEMO_FOLDER
from wanvideo.weights.variants import Variant


def variant(name: str, id_: str) -> Variant:
    return next(each for each in resolve(name).variants if each.id == id_)


@pytest.mark.parametrize(
    "config",
    [
        T2V_A14B,
        TI2V_5B,
        TransformerConfig(
            in_channels=36, out_channels=16, num_heads=2, num_layers=3, ffn_dim=48, head_dim=12, text_dim=16, freq_dim=8
        ),
    ],
)
def test_weights_from_shapes_are_those_of_the_network(config: TransformerConfig) -> None:
    with torch.device("meta"):
        parameters = dict(WanTransformer(config).named_parameters())
    in_fp32 = sum(each.numel() for name, each in parameters.items() if keeps_fp32(name))
    everything = sum(each.numel() for each in parameters.values())
    block, rest = block_weights(config), rest_weights(config)
    assert rest.fp32 == in_fp32
    in_block = block.matrices + block.text_matrices + block.others
    assert config.num_layers * in_block + rest.others + rest.fp32 == everything
    assert all(module._keeps_fp32(name) == keeps_fp32(name) for name in parameters)
    # Of the matrices of a block, those that the tier fast leaves in 16 bits.
    matrices = {n for n, each in parameters.items() if n.startswith("blocks.") and each.dim() == 2 and "norm" not in n}
    left = {name for name in matrices if not is_rounded(name)}
    assert {name for name in parameters if module._OF_TEXT.fullmatch(name)} == left


def test_blocks_of_the_tier_fast_weigh_what_is_planned() -> None:
    config = T2V_A14B
    with torch.device("meta"):
        transformer = WanTransformer(replace(config, num_layers=1)).to(torch.bfloat16)
    quantize(transformer)
    in_fp32 = {name for name, _ in transformer.named_parameters() if keeps_fp32(name)}
    kept = [*transformer.blocks[0].named_parameters(prefix="blocks.0"), *transformer.blocks[0].named_buffers()]
    held = sum(each.nbytes for name, each in kept if name not in in_fp32)
    assert held <= block_weights(config).nbytes(2, Tier.FAST) <= 1.001 * held
    assert block_weights(config).nbytes_in_8_bits < 0.54 * block_weights(config).nbytes(2)


def test_weights_of_the_text_encoder_are_those_of_the_network() -> None:
    small = TextEncoderConfig(dim=16, num_layers=2, num_heads=2, head_dim=8, ffn_dim=32, vocab_size=64)
    for config in (UMT5_XXL, small):
        with torch.device("meta"):
            everything = sum(each.numel() for each in UMT5Encoder(config).parameters())
        weights = text_rest_weights(config) + text_block_weights(config).times(config.num_layers)
        assert weights.matrices + weights.others == everything


@pytest.mark.parametrize("kind", ["t2v", "ti2v"])
def test_headers_and_shapes_agree(kind: str, tmp_path: Path) -> None:
    write_model(tmp_path / kind, kind)
    folder = open_folder(tmp_path / kind)
    found = architecture_of(folder, kind)
    config, text = found.transformer, found.text_encoder
    assert found.experts == (1 if kind == "ti2v" else 2)
    assert found.block == block_weights(config)
    assert found.rest == rest_weights(config)
    assert (found.text_block, found.text_rest) == (text_block_weights(text), text_rest_weights(text))
    assert found.largest_matrix == 0
    assert found.stored_block == 2 * found.block.nbytes(2)
    assert found.stored_bytes == folder.nbytes


def test_a_demo_model_is_told_from_its_files() -> None:
    found = architecture_of(open_folder(DEMO_FOLDER / "t2v-A14B-demo"), "t2v-A14B-demo")
    assert found.block == block_weights(found.transformer)
    assert 0 < found.vae_parameters < 10_000_000


@pytest.mark.parametrize(
    ("name", "id_", "gigabytes"),
    [("t2v-A14B", "fp8", 14.3), ("t2v-A14B", "q4_k_m", 9.65), ("ti2v-5B", "q8_0", 5.4), ("ti2v-5B", "fp16", 10.0)],
)
def test_the_catalog_gives_transformers_the_size_of_their_files(name: str, id_: str, gigabytes: float) -> None:
    spec = resolve(name)
    found = architecture_in_catalog(spec, variant(name, id_))
    assert found.precision == id_
    # In memory, the embeddings and what stays in float32 are larger than in most files.
    assert found.blocks * found.slab(Tier.EXACT) / 1e9 == pytest.approx(gigabytes, rel=0.04)
    assert found.text_encoder_bytes() / 1e9 == pytest.approx(11.36 if id_ == "fp16" else 6.73, rel=0.01)
    assert found.largest_matrix == (0 if id_ == "fp16" else spec.transformer.dim * spec.transformer.ffn_dim)


def test_files_in_32_bits_are_twice_what_is_in_memory() -> None:
    published, halved = (
        architecture_in_catalog(resolve("t2v-A14B"), variant("t2v-A14B", id_)) for id_ in ("fp32", "fp16")
    )
    assert published.block == halved.block
    assert published.stored_block == 2 * halved.stored_block


def test_a_size_that_no_source_states_is_asked_for_in_words() -> None:
    with pytest.raises(InvalidRequest, match="q2_k of t2v-A14B is not known"):
        architecture_in_catalog(resolve("t2v-A14B"), variant("t2v-A14B", "q2_k"))
    with pytest.raises(ModelMissing, match="only its files"):
        architecture_in_catalog(resolve("t2v-A14B-demo"), variant("t2v-A14B", "fp16"))


def test_every_real_model_can_be_weighed() -> None:
    for spec in MODELS:
        for each in spec.variants:
            if each.transformer_bytes is not None:
                found = architecture_in_catalog(spec, each)
                assert found.stored_bytes > 1e9
                assert found.vae_parameters in VAE_PARAMETERS.values()
                assert math.isfinite(found.slab(Tier.FAST))


def test_loras_count_for_the_expert_that_has_more_of_them() -> None:
    spec = resolve("t2v-A14B")
    request = adapt(spec, GenerationRequest(prompt="a heron", seed=0))

    def lora(nbytes: int, high: float, low: float) -> ResolvedLora:
        return ResolvedLora(name="x", path=Path("x"), digest="", nbytes=nbytes, strength=high, strength_low=low)

    assert work_of(spec, request).lora_bytes == 0
    loras = (lora(100, 1, 0), lora(70, 0, 1), lora(40, 0, 0.5), lora(1000, 0, 0))
    assert work_of(spec, replace(request, loras=loras)).lora_bytes == 110
    assert work_of(resolve("ti2v-5B"), replace(request, loras=loras)).lora_bytes == 100


def test_without_guidance_there_is_one_pass_a_step() -> None:
    spec = resolve("t2v-A14B")
    for guidance, low, passes in ((None, None, 2), (1.0, None, 1), (1.0, 3.0, 2)):
        asked = GenerationRequest(prompt="a heron", seed=0, guidance=guidance, guidance_low=low)
        assert work_of(spec, adapt(spec, asked)).prompts == passes
