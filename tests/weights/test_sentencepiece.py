"""Tokenizers out of SentencePiece models tokenize as transformers does."""

import json
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from tests.weights import dialects as d
from tests.weights.tiny_models import CORPUS, edit_json, write_tokenizer
from wanvideo.errors import ModelCorrupt, ModelMismatch
from wanvideo.weights.sentencepiece import read_sentencepiece
from wanvideo.weights.tokenizer import PromptTokenizer

PROMPTS = [*CORPUS, "", "ünknöwn wörds 雪", "red " * 600, "<pad></s><unk>", "a small</s> red"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer.json trained on the corpus, its scores as exact as SentencePiece has them."""
    folder = tmp_path_factory.mktemp("trained") / "tokenizer"
    write_tokenizer(folder)
    path = folder / "tokenizer.json"
    model = json.loads(path.read_text("utf-8"))["model"]
    edit_json(path, model=model | {"vocab": [[text, float(np.float32(score))] for text, score in model["vocab"]]})
    return folder


@pytest.fixture(scope="module")
def pieces(folder: Path) -> list[tuple[str, float]]:
    model = json.loads((folder / "tokenizer.json").read_text("utf-8"))["model"]
    return [(text, score) for text, score in model["vocab"]]


@pytest.fixture(scope="module")
def tokenizer(pieces: list[tuple[str, float]], tmp_path_factory: pytest.TempPathFactory) -> PromptTokenizer:
    path = tmp_path_factory.mktemp("spiece") / "spiece.model"
    path.write_bytes(d.sentencepiece(pieces))
    return PromptTokenizer.from_path(path)


@pytest.fixture(scope="module")
def reference(pieces: list[tuple[str, float]]) -> Tokenizer:
    from transformers import T5Tokenizer

    tokenizer = T5Tokenizer(vocab=pieces, extra_ids=0, additional_special_tokens=[]).backend_tokenizer
    assert isinstance(tokenizer, Tokenizer)
    return tokenizer


def test_every_piece_keeps_its_number(tokenizer: PromptTokenizer, pieces: list[tuple[str, float]]) -> None:
    assert [tokenizer.tokenizer.token_to_id(text) for text, _ in pieces] == list(range(len(pieces)))
    assert (tokenizer.pad_id, tokenizer.end_id, tokenizer.vocab_size) == (0, 1, len(pieces))


@pytest.mark.parametrize("prompt", PROMPTS)
def test_prompts_are_tokenized_as_by_transformers(
    tokenizer: PromptTokenizer, reference: Tokenizer, prompt: str
) -> None:
    ours = tokenizer.tokenizer.encode(prompt, add_special_tokens=False).ids
    assert ours == reference.encode(prompt, add_special_tokens=False).ids


@given(prompt=st.text(alphabet=st.sampled_from("a redcirlomvsnybk\u3000ü雪<>/"), max_size=40))
def test_any_text_is_tokenized_as_by_transformers(
    tokenizer: PromptTokenizer, reference: Tokenizer, prompt: str
) -> None:
    ours = tokenizer.tokenizer.encode(prompt, add_special_tokens=False).ids
    assert ours == reference.encode(prompt, add_special_tokens=False).ids


def test_tokenizer_json_and_the_model_with_its_pieces_agree(folder: Path, tokenizer: PromptTokenizer) -> None:
    assert PromptTokenizer.from_path(folder).encode(PROMPTS).ids.equal(tokenizer.encode(PROMPTS).ids)


def test_a_tokenizer_is_found_inside_text_encoders(
    tmp_path: Path, tokenizer: PromptTokenizer, pieces: list[tuple[str, float]]
) -> None:
    model = torch.tensor(list(d.sentencepiece(pieces)), dtype=torch.uint8)
    inside = {
        "safetensors": d.write(tmp_path / "t5.safetensors", {"w": torch.ones(3), "spiece_model": model}),
        "gguf": d.write_gguf(
            tmp_path / "t5.gguf",
            {"w": torch.ones(3)},
            strings={"tokenizer.ggml.model": "t5"},
            arrays={
                "tokenizer.ggml.tokens": [text for text, _ in pieces],
                "tokenizer.ggml.scores": [float(score) for _, score in pieces],
                "tokenizer.ggml.token_type": [{"<unk>": 2, "<pad>": 3, "</s>": 3}.get(t, 1) for t, _ in pieces],
            },
        ),
    }
    expected = tokenizer.encode(PROMPTS)
    for name, path in inside.items():
        assert PromptTokenizer.from_path(path).encode(PROMPTS).ids.equal(expected.ids), name


@given(data=st.data())
def test_damaged_models_raise_a_typed_error(pieces: list[tuple[str, float]], data: st.DataObject) -> None:
    content = bytearray(d.sentencepiece(pieces))
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with suppress(ModelCorrupt, ModelMismatch):
        read_sentencepiece(bytes(content[: data.draw(st.integers(0, len(content)))]), "it")


def test_what_is_no_unigram_model_is_refused(pieces: list[tuple[str, float]], tmp_path: Path) -> None:
    with pytest.raises(ModelMismatch, match="type 2, not Unigram"):
        read_sentencepiece(d.sentencepiece(pieces, model_type=2), "it")
    with pytest.raises(ModelCorrupt, match="no SentencePiece model: it has 0 pieces"):
        read_sentencepiece(b"", "it")
    with pytest.raises(ModelMismatch, match="holds no tokenizer"):
        PromptTokenizer.from_path(d.write(tmp_path / "t5.safetensors", {"w": torch.ones(3)}))
