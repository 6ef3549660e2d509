import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.weights.tiny_models import CORPUS, edit_json, write_tokenizer
from wanvideo.errors import InvalidPrompt, ModelCorrupt, ModelIncomplete, ModelMismatch
from wanvideo.weights.tokenizer import PromptTokenizer, clean


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_tokenizer(tmp_path / "tokenizer", model_max_length=10**30)
    return tmp_path / "tokenizer"


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("  a  red\n\tcircle ", "a red circle"),
        ("&lt;b&gt; &amp;amp; so on", "<b> & so on"),
        ("schÃ¶n", "schön"),
        ("“quotes”", '"quotes"'),
        ("雪の上の猫", "雪の上の猫"),
        ("A Heron", "A Heron"),
        ("a\u3000b\u00a0c", "a b c"),
        ("\x00\x07", ""),
        ("", ""),
    ],
)
def test_prompts_are_repaired_and_their_white_space_collapsed(prompt: str, expected: str) -> None:
    assert clean(prompt) == expected


@given(prompt=st.text(max_size=60))
def test_prompts_are_cleaned_as_in_diffusers(prompt: str) -> None:
    from diffusers.pipelines.wan.pipeline_wan import prompt_clean

    assert clean(prompt) == prompt_clean(prompt)


def test_tokens_are_those_of_transformers(folder: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    reference = PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"), pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    prompts = [*CORPUS, "", "ünknöwn wörds 雪", "red " * 600]
    expected = reference(prompts, padding="max_length", truncation=True, max_length=512, return_tensors="pt")
    tokens = PromptTokenizer.from_folder(folder).encode(prompts)
    assert tokens.ids.equal(expected.input_ids)
    assert tokens.mask.equal(expected.attention_mask.bool())
    assert (tokens.ids.dtype, tokens.mask.dtype) == (torch.int64, torch.bool)
    assert tokens.ids.shape == (5, 512)


def test_a_prompt_that_is_too_long_ends_with_the_end_token_and_says_what_was_cut(tmp_path: Path) -> None:
    write_tokenizer(tmp_path / "short", model_max_length=8)
    tokenizer = PromptTokenizer.from_folder(tmp_path / "short")
    whole = len(tokenizer.tokenizer.encode(CORPUS[0], add_special_tokens=False).ids)
    tokens = tokenizer.encode([CORPUS[0], "", "red"])
    assert tokens.ids.shape == (3, 8)
    assert tokens.ids[0, -1] == tokenizer.end_id
    assert tokens.mask[0].all()
    assert tokens.cut == (whole - 7, 0, 0)
    assert tokens.ids[1].tolist() == [tokenizer.end_id] + [tokenizer.pad_id] * 7


def test_truncation_and_padding_stored_in_the_file_do_not_count(folder: Path) -> None:
    path = folder / "tokenizer.json"
    expected = PromptTokenizer.from_folder(folder).encode(CORPUS)
    truncation = {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0}
    edit_json(path, truncation=truncation)
    assert PromptTokenizer.from_folder(folder).encode(CORPUS).ids.equal(expected.ids)


@pytest.mark.parametrize("prompt", [None, 3, b"bytes", ["a list"]])
def test_a_prompt_that_is_no_text_is_refused(folder: Path, prompt: Any) -> None:
    with pytest.raises(InvalidPrompt, match="must be text"):
        PromptTokenizer.from_folder(folder).encode([prompt])


@pytest.mark.parametrize("prompt", ["\ud800 lone surrogate", "😀" * 3000, "\u202e\ufeff", "<pad></s><unk>"])
def test_odd_prompts_are_tokenized(folder: Path, prompt: str) -> None:
    tokens = PromptTokenizer.from_folder(folder).encode([prompt])
    assert tokens.mask[0, 0]


def test_missing_and_damaged_tokenizers_are_told_apart(folder: Path) -> None:
    content = (folder / "tokenizer.json").read_bytes()
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelIncomplete, match=r"tokenizer\.json is missing"):
        PromptTokenizer.from_folder(folder)
    (folder / "tokenizer.json").write_bytes(content[:500])
    with pytest.raises(ModelCorrupt, match=r"tokenizer\.json"):
        PromptTokenizer.from_folder(folder)
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"type": "Odd"}}))
    with pytest.raises(ModelCorrupt, match=r"tokenizer\.json is not a tokenizer"):
        PromptTokenizer.from_folder(folder)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_max_length": "long"}, "model_max_length is 'long'"),
        ({"model_max_length": 1}, "model_max_length is 1"),
        ({"pad_token": "<nothing>"}, "pad_token is '<nothing>'"),
        ({"eos_token": 3}, "eos_token is 3"),
        ({"eos_token": {"content": "<end>"}}, "eos_token is '<end>'"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(folder: Path, config: dict[str, Any], message: str) -> None:
    edit_json(folder / "tokenizer_config.json", **config)
    with pytest.raises(ModelMismatch, match=message):
        PromptTokenizer.from_folder(folder)


def test_special_tokens_may_be_described_by_objects(folder: Path) -> None:
    edit_json(folder / "tokenizer_config.json", eos_token={"content": "</s>", "lstrip": False})
    assert PromptTokenizer.from_folder(folder).end_id == 1


@given(prompt=st.text(max_size=60))
def test_as_many_tokens_are_counted_as_are_encoded(counting: PromptTokenizer, prompt: str) -> None:
    tokens = counting.encode([prompt])
    assert counting.count(prompt) == int(tokens.mask.sum()) + tokens.cut[0]


@pytest.fixture(scope="module")
def counting(tmp_path_factory: pytest.TempPathFactory) -> PromptTokenizer:
    folder = tmp_path_factory.mktemp("counting") / "tokenizer"
    write_tokenizer(folder, model_max_length=16)
    return PromptTokenizer.from_folder(folder)


def test_counting_needs_no_torch() -> None:
    program = "import sys; import wanvideo.weights.token_counts; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
