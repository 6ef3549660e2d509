"""The one obvious way to a pipeline: by the name of a model. No torch until one is loaded."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from wanvideo.families.choose import named, usual_places
from wanvideo.families.protocol import LoadOptions
from wanvideo.pipelines.base import VideoPipeline
from wanvideo.pipelines.loras import usual_library

if TYPE_CHECKING:
    import torch


def load(
    name_or_folder: str | os.PathLike[str],
    *,
    variant: str | None = None,
    device: str | None = "auto",
    dtype: "str | torch.dtype | None" = None,
    vae_dtype: "str | torch.dtype | None" = None,
    roots: Sequence[str | os.PathLike[str]] = (),
    tile: int | None = None,
    batch_guidance: bool = False,
    lora_roots: Sequence[str | os.PathLike[str]] = (),
) -> VideoPipeline:
    """Open a model of any family by its name, folder or file. Networks are read when they are first needed.

    variant: which form of the model, if several are on disk: a precision such as "fp8" or "q4_k_m", or a word in the
    names of its files. By default the best one. What is stored quantised stays so in memory.
    device: "auto" (a CUDA device if there is one), "cpu", "cuda", "cuda:1".
    dtype: of the text encoder and the transformers, by default bfloat16 on CUDA and float32 on the CPU.
    vae_dtype: of the autoencoder, by default float32, as in the official code.
    roots: folders that hold models, one folder each, besides the cache of the Hugging Face hub.
    tile: side in pixels of the tiles that the autoencoder works in; None: the whole picture at once.
    batch_guidance: both prompts in one call of the transformer; more memory, hardly ever less time.
    lora_roots: folders that hold LoRAs, besides the user's own.

    Raises UnknownModel, ModelMissing and the other errors of models on disk, InvalidRequest for the other arguments.
    """
    options = LoadOptions(
        device=device,
        dtype=dtype,
        vae_dtype=vae_dtype,
        tile=tile,
        batch_guidance=batch_guidance,
        library=usual_library([Path(root) for root in lora_roots]),
    )
    return named(name_or_folder, usual_places(roots), variant).model.load(options)
