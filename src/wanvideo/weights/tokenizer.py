"""Prompts -> token ids of UMT5. Torch is imported only to make tensors of them."""

import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

from wanvideo.errors import InvalidPrompt, ModelCorrupt, ModelMismatch
from wanvideo.weights.gguf import MAGIC as GGUF
from wanvideo.weights.gguf import read_gguf_arrays
from wanvideo.weights.headers import read_header, read_json, read_start
from wanvideo.weights.sentencepiece import SPECIAL, UNKNOWN, SentencePieceModel, read_sentencepiece
from wanvideo.weights.stored import EMBEDDED, StoredTensor, read_bytes

if TYPE_CHECKING:
    from torch import Tensor

# The length that the transformers were trained with.
_TEXT_TOKENS: Final = 512
_LARGEST_MODEL: Final = 64 << 20  # bytes; the SentencePiece model of UMT5 has 4.5 MB


def clean(prompt: str) -> str:
    """Repair broken Unicode, undo HTML escapes (twice, for those escaped twice), and make all white space one blank.

    Source: the official `wan/modules/tokenizers.py`.
    """
    import ftfy  # only here: its tables take long to import

    prompt = html.unescape(html.unescape(ftfy.fix_text(prompt)))
    return re.sub(r"\s+", " ", prompt).strip()


@dataclass(frozen=True, slots=True, eq=False)
class PromptTokens:
    """Prompts as the text encoder takes them."""

    ids: "Tensor"  # [B, S] int64
    mask: "Tensor"  # [B, S] bool; True: token, False: padding
    cut: tuple[int, ...]  # tokens at the end of each prompt that were too many


@dataclass(frozen=True, slots=True)
class PromptTokenizer:
    """The tokenizer of one model. `text_tokens` is S, the length that every prompt is padded or cut to."""

    tokenizer: Tokenizer
    text_tokens: int
    pad_id: int
    end_id: int

    @classmethod
    def from_path(cls, path: Path) -> "PromptTokenizer":
        """Of a folder with tokenizer.json and tokenizer_config.json, or a file that is or holds a SentencePiece model.

        Such files are `spiece.model`, ComfyUI's text encoders and text encoders in GGUF. Raises ModelIncomplete if a
        file is missing, ModelCorrupt if one is damaged, ModelMismatch if it is no tokenizer of this kind.
        """
        if path.is_dir():
            return cls.from_folder(path)
        return _from_sentencepiece(_embedded(path), path)

    @classmethod
    def from_folder(cls, folder: Path) -> "PromptTokenizer":
        """Read tokenizer.json and tokenizer_config.json.

        Raises ModelIncomplete if one is missing, ModelCorrupt if one is damaged, ModelMismatch if there is no padding
        or end token.
        """
        path = folder / "tokenizer.json"
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises nothing more special
            read_json(path)  # a missing or foreign file has its own message
            raise ModelCorrupt(f"{path} is not a tokenizer ({error}): delete it and download it again") from error
        tokenizer.no_truncation()
        tokenizer.no_padding()
        config_path = folder / "tokenizer_config.json"
        config = read_json(config_path)
        return cls(
            tokenizer=tokenizer,
            text_tokens=_text_tokens(config_path, config),
            pad_id=_special(config_path, config, tokenizer, "pad_token", "<pad>"),
            end_id=_special(config_path, config, tokenizer, "eos_token", "</s>"),
        )

    def save(self, folder: Path) -> None:
        """Write tokenizer.json and tokenizer_config.json, which `from_folder` and transformers read."""
        folder.mkdir(parents=True)
        self.tokenizer.save(str(folder / "tokenizer.json"))
        named = {"pad_token": self.pad_id, "eos_token": self.end_id}
        config: dict[str, object] = {name: self.tokenizer.id_to_token(number) for name, number in named.items()}
        config |= {"tokenizer_class": "T5TokenizerFast", "model_max_length": self.text_tokens}
        (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")

    @property
    def vocab_size(self) -> int:
        """Number of tokens, ids from 0."""
        return self.tokenizer.get_vocab_size(with_added_tokens=True)

    def count(self, prompt: str) -> int:
        """Tokens of a prompt as it will be used, with the end token; more than `text_tokens` are cut."""
        return len(self._ids(prompt)) + 1

    def _ids(self, prompt: str) -> list[int]:
        return self.tokenizer.encode(clean(prompt), add_special_tokens=False).ids

    def encode(self, prompts: Sequence[str]) -> PromptTokens:
        """Clean and tokenize B prompts; each ends with the end token, also where it had to be cut."""
        import torch

        ids = torch.full((len(prompts), self.text_tokens), self.pad_id, dtype=torch.int64)
        mask = torch.zeros(ids.shape, dtype=torch.bool)
        cut: list[int] = []
        for row, prompt in enumerate(prompts):
            if not isinstance(prompt, str):
                raise InvalidPrompt(f"the prompt is {prompt!r:.100}: it must be text")
            tokens = self._ids(prompt)
            kept = [*tokens[: self.text_tokens - 1], self.end_id]
            ids[row, : len(kept)] = torch.tensor(kept)
            mask[row, : len(kept)] = True
            cut.append(len(tokens) + 1 - len(kept))
        return PromptTokens(ids, mask, tuple(cut))


def _embedded(path: Path) -> SentencePieceModel:
    """The model in a file, whatever the file is."""
    head = read_start(path, 16)
    if head.startswith(GGUF):
        return _from_gguf(path)
    if head[8:9] != b"{":
        return read_sentencepiece(read_start(path, _LARGEST_MODEL), str(path))
    file = read_header(path)
    if EMBEDDED not in file.tensors or file.tensors[EMBEDDED].nbytes > _LARGEST_MODEL:
        raise ModelMismatch(f"{path} holds no tokenizer: get the tokenizer folder of the model's repository")
    data = read_bytes(StoredTensor(file=file, info=file.tensors[EMBEDDED]))
    return read_sentencepiece(data, f"the tokenizer in {path}")


def _from_gguf(path: Path) -> SentencePieceModel:
    """What llama.cpp copies of a SentencePiece model into the metadata."""
    names = {name: f"tokenizer.ggml.{name}" for name in ("tokens", "scores", "token_type", "precompiled_charsmap")}
    arrays = read_gguf_arrays(path, frozenset(names.values()))
    tokens, scores, types, table = (arrays.get(name, []) for name in names.values())
    unknown = [i for i, type_ in enumerate(types) if type_ == UNKNOWN]
    if not tokens or not len(tokens) == len(scores) == len(types) or len(unknown) != 1:
        raise ModelMismatch(f"{path} holds no tokenizer: get the tokenizer folder of the model's repository")
    return SentencePieceModel(
        pieces=tuple((str(token), float(score)) for token, score in zip(tokens, scores, strict=True)),
        special=tuple(str(token) for token, type_ in zip(tokens, types, strict=True) if type_ in SPECIAL),
        unknown_id=unknown[0],
        normalisation=bytes(int(value) & 255 for value in table),
    )


def _from_sentencepiece(model: SentencePieceModel, path: Path) -> PromptTokenizer:
    """As transformers builds the tokenizer of T5 from such a model, so that the same text has the same tokens."""
    try:
        tokenizer = Tokenizer(models.Unigram(list(model.pieces), unk_id=model.unknown_id, byte_fallback=False))
        if model.normalisation:
            tokenizer.normalizer = normalizers.Precompiled(model.normalisation)
    except Exception as error:  # the library raises nothing more special
        raise ModelCorrupt(f"{path} holds no usable tokenizer ({error}): download it again") from error
    words = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), words])
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in model.special])
    return PromptTokenizer(
        tokenizer=tokenizer,
        text_tokens=_TEXT_TOKENS,
        pad_id=_special(path, {}, tokenizer, "pad_token", "<pad>"),
        end_id=_special(path, {}, tokenizer, "eos_token", "</s>"),
    )


def _text_tokens(path: Path, config: Mapping[str, Any]) -> int:
    length = config.get("model_max_length", _TEXT_TOKENS)
    if type(length) not in (int, float) or length < 2:
        raise ModelMismatch(f"{path}: model_max_length is {length!r:.100}, and a number from 2 is needed")
    return int(min(_TEXT_TOKENS, length))


def _special(path: Path, config: Mapping[str, Any], tokenizer: Tokenizer, key: str, default: str) -> int:
    """Id of a special token, which the file names or describes."""
    token = config.get(key, default)
    token = token.get("content") if isinstance(token, dict) else token
    number = tokenizer.token_to_id(token) if isinstance(token, str) else None
    if number is None:
        raise ModelMismatch(f"{path}: {key} is {token!r:.100}, which tokenizer.json does not have: use one model's")
    return number
