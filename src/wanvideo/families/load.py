"""The one obvious way to a pipeline: by the name of a model. No torch until one is loaded."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from wanvideo.errors import ModelIncomplete, ModelMissing, UnknownModel, WanVideoError
from wanvideo.families.choose import named, named_tier, usual_places
from wanvideo.families.hardware import this_computer
from wanvideo.families.obtain import obtain, offer, with_offer
from wanvideo.families.protocol import LoadOptions
from wanvideo.families.registry import installed_families
from wanvideo.pipelines.base import VideoPipeline
from wanvideo.pipelines.loras import usual_library
from wanvideo.request import Tier
from wanvideo.weights.download.events import FellBack
from wanvideo.weights.download.hub import usual_hubs
from wanvideo.weights.places import Places

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)


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
    tier: Tier | str = Tier.EXACT,
    memory_limit: int | None = None,
    gpus: int = 1,
    rank_patience: float | None = None,
    lora_roots: Sequence[str | os.PathLike[str]] = (),
    download: bool = False,
) -> VideoPipeline:
    """Open a model of any family by its name, folder or file. Networks are read when they are first needed.

    variant: which form of the model, if several are on disk: a precision such as "fp8" or "q4_k_m", or a word in the
    names of its files. By default the best one. What is stored quantised stays so in memory.
    device: "auto" (a CUDA device if there is one), "cpu", "cuda", "cuda:1".
    dtype: of the text encoder and the transformers, by default bfloat16 on CUDA, float16 on GPUs before Ampere, and
        float32 on the CPU. With float16 the text encoder computes in bfloat16.
    vae_dtype: of the autoencoder, by default float32, as in the official code; bfloat16 on CUDA with the tier fast.
    roots: folders that hold models, one folder each, besides the cache of the Hugging Face hub.
    tile: side in pixels of the tiles that the autoencoder works in; None: the whole picture at once, if it fits.
    batch_guidance: both prompts in one call of the transformer; more memory, hardly ever less time.
    tier: "exact", or "fast" for products and attention in 8 bits, which changes the picture a little.
    memory_limit: bytes of GPU memory to use at most, by default what is free. `wanvideo.plan` says what fits.
    gpus: how many make each video together, the first ones that there are; on the CPU, how many processes do.
    rank_patience: seconds that one of them may be behind the others without going on, before all are ended and
    RankFailed is raised: 5 by default, and more where steps take long.
    lora_roots: folders that hold LoRAs, besides the user's own.
    download: get a named model that is not on disk, in the variant that suits this computer. Without it, the
    ModelMissing that is raised says in its `facts` which variant that would be, and how large.

    Raises UnknownModel, ModelMissing and the other errors of models on disk, DownloadError, InvalidRequest for the
    other arguments.
    """
    options = LoadOptions(
        device=device,
        dtype=dtype,
        vae_dtype=vae_dtype,
        tile=tile,
        batch_guidance=batch_guidance,
        tier=named_tier(tier),
        memory_limit=memory_limit,
        gpus=gpus,
        rank_patience=rank_patience,
        library=usual_library([Path(root) for root in lora_roots]),
    )
    places = usual_places(roots)
    try:
        choice = named(name_or_folder, places, variant)
    except (ModelMissing, ModelIncomplete) as error:
        _get(error, str(name_or_folder), variant, places, download=download)
        choice = named(name_or_folder, places, variant)
    return choice.model.load(options)


def _get(error: WanVideoError, name: str, variant: str | None, places: Places, *, download: bool) -> None:
    """Download what is missing, or raise `error`, with what there is to download."""
    try:
        entry = installed_families().resolve(name)
    except UnknownModel:  # a folder
        raise error from None
    if not entry.variants or places.hub_cache is None:
        raise error
    offered = offer(entry, this_computer(places.hub_cache), variant)
    if not download:
        raise with_offer(error, offered) from None
    log.info("%s as %s: %s", entry.id, offered.variant.id, offered.reason)
    for event in obtain(offered, usual_hubs(os.environ, Path.home()), places):
        if isinstance(event, FellBack):
            log.warning("%s cannot be had: %s; going on with %s", event.wanted, event.reason, event.instead)
