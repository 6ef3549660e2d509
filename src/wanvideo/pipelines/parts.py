"""The networks of one model, each loaded when it is first needed."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

from wanvideo.models.text_encoder import UMT5Encoder
from wanvideo.models.transformer import WanTransformer
from wanvideo.models.vae import WanVAE
from wanvideo.sampling.guidance import Expert
from wanvideo.weights.folder import ModelFolder
from wanvideo.weights.loading import load_text_encoder, load_transformer, load_vae
from wanvideo.weights.variants import Part

ModuleT = TypeVar("ModuleT", bound=nn.Module)


class Parts:
    """Networks on one device.

    With `keep_all`, what is loaded stays. Otherwise only the network asked for last does: the one before is let go
    first, and is read again from its memory-mapped files when its turn comes.
    """

    def __init__(
        self, folder: ModelFolder, *, device: torch.device, dtype: torch.dtype, vae_dtype: torch.dtype
    ) -> None:
        self.folder, self.device, self.dtype, self.vae_dtype = folder, device, dtype, vae_dtype
        self.keep_all = True
        self._loaded: dict[Part, nn.Module] = {}

    def text_encoder(self) -> UMT5Encoder:
        part = self.folder.text_encoder
        return self._get(Part.TEXT_ENCODER, lambda: load_text_encoder(part, device=self.device, dtype=self.dtype))

    def vae(self) -> WanVAE:
        part = self.folder.vae
        return self._get(Part.VAE, lambda: load_vae(part, device=self.device, dtype=self.vae_dtype))

    def transformer(self, expert: Expert) -> WanTransformer:
        name, part = Part.TRANSFORMER, self.folder.transformers[0]
        if expert is Expert.LOW:
            name, part = Part.TRANSFORMER_2, self.folder.transformers[1]
        return self._get(name, lambda: load_transformer(part, device=self.device, dtype=self.dtype))

    def free(self) -> None:
        """Let go of every network."""
        self._loaded.clear()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _get(self, part: Part, load: Callable[[], ModuleT]) -> ModuleT:
        if part not in self._loaded:
            if not self.keep_all:
                self.free()
            self._loaded[part] = load()
        return self._loaded[part]  # type: ignore[return-value]
