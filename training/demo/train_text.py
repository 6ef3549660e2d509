"""Make the tokenizer and train the text encoder of the demo models: `python -m training.demo.train_text OUT`.

The encoder learns to tell the five attributes of a scene from any way of saying it, and to restore words that were
masked; it is frozen afterwards. Takes minutes on a CPU.
"""

import argparse
import json
import random
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor, nn

from training.demo.architecture import TEXT_DIM, TEXT_TOKENS, text_encoder
from training.demo.captions import VOCABULARY, Scene, all_scenes, caption, fragment, paraphrase
from training.demo.checkpoint import save_tensors
from wanvideo.models.text_encoder import UMT5Encoder

PAD, END, UNKNOWN = 0, 1, 2


def sentence(scene: Scene, rng: random.Random) -> str:
    """What the models are told about a clip: the template, a paraphrase, or only a part of it."""
    kind = rng.random()
    return caption(scene) if kind < 0.4 else paraphrase(scene, rng) if kind < 0.9 else fragment(scene, rng)


def make_tokenizer(vocab_size: int = 400) -> Tokenizer:
    """A tokenizer in the manner of UMT5's (spaces belong to words, `</s>` at the end) over the words of the demo world.

    Lower-cases, unlike UMT5's. Other words fall apart into known pieces or single characters.
    """
    rng = random.Random(0)
    corpus = [sentence(scene, rng) for scene in all_scenes() for _ in range(10)]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation()])
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.train_from_iterator(
        corpus,
        trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=["<pad>", "</s>", "<unk>"],
            initial_alphabet=[chr(c) for c in range(33, 127) if not chr(c).isupper()],
            show_progress=False,
        ),
    )
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", END)])
    return tokenizer


def encode(tokenizer: Tokenizer, sentences: list[str]) -> tuple[Tensor, Tensor]:
    """ids [B, S] int64 and mask [B, S] bool, padded to the length of the demo models."""
    tokenizer.enable_truncation(TEXT_TOKENS)
    tokenizer.enable_padding(pad_id=PAD, pad_token="<pad>", length=TEXT_TOKENS)
    encoded = tokenizer.encode_batch(sentences)
    return torch.tensor([e.ids for e in encoded]), torch.tensor([e.attention_mask for e in encoded]).bool()


class Probe(nn.Module):
    """Reads the attributes, one attention query each, and the words back from the encoder's vectors."""

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(len(VOCABULARY), TEXT_DIM) * 0.02)
        self.attributes = nn.ModuleList(nn.Linear(TEXT_DIM, len(words)) for words in VOCABULARY)
        self.words = nn.Linear(TEXT_DIM, vocab_size)

    def forward(self, vectors: Tensor, mask: Tensor) -> tuple[list[Tensor], Tensor]:
        logits = (vectors @ self.queries.T).masked_fill(~mask.unsqueeze(-1), -1e9)
        pooled = torch.einsum("bsa,bsd->abd", logits.softmax(1), vectors)
        return [linear(p) for linear, p in zip(self.attributes, pooled, strict=True)], self.words(vectors)


def train_encoder(tokenizer: Tokenizer, steps: int) -> UMT5Encoder:
    torch.manual_seed(0)
    rng = random.Random(1)
    vocab_size = tokenizer.get_vocab_size()
    encoder, probe = UMT5Encoder(text_encoder(vocab_size)), Probe(vocab_size)
    for name, parameter in encoder.named_parameters():
        if parameter.dim() == 2:
            nn.init.normal_(parameter, std=1.0 if "token_embedding" in name else parameter.shape[1] ** -0.5)
    optimizer = torch.optim.AdamW([*encoder.parameters(), *probe.parameters()], lr=1e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=2e-3, total_steps=steps)
    scenes = [scene for scene in all_scenes() for _ in range(10)]
    ids, mask = encode(tokenizer, [caption(s) if rng.random() < 0.3 else paraphrase(s, rng) for s in scenes])
    all_labels = torch.tensor([scene.labels for scene in scenes])
    for step in range(steps):
        chosen = torch.randint(len(scenes), (128,))
        width = int(mask[chosen].sum(1).max())
        batch, present, labels = ids[chosen, :width], mask[chosen, :width], all_labels[chosen]
        hidden = (torch.rand(batch.shape) < 0.1) & present & (torch.rand(len(batch), 1) < 0.5)  # half of the sentences
        attributes, words = probe(encoder(batch.masked_fill(hidden, UNKNOWN), present), present)
        complete = ~hidden.any(1)
        by_attribute = sum(F.cross_entropy(a[complete], labels[complete, i]) for i, a in enumerate(attributes))
        by_word = F.cross_entropy(words[present], batch[present])
        loss = by_attribute + 0.3 * by_word
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 99 or step == steps - 1:
            right = [
                float((a[complete].argmax(-1) == labels[complete, i]).float().mean()) for i, a in enumerate(attributes)
            ]
            print(json.dumps({"step": step + 1, "words": round(float(by_word), 4), "right": right}), flush=True)
    return encoder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=1000)
    options = parser.parse_args()
    tokenizer = make_tokenizer()
    encoder = train_encoder(tokenizer, options.steps)
    options.out.mkdir(parents=True, exist_ok=True)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.save(str(options.out / "tokenizer.json"))
    save_tensors(options.out / "text_encoder.safetensors", encoder.state_dict())


if __name__ == "__main__":
    main()
