"""The networks of one model, each loaded when it is first needed, and put where the plan says."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeVar

import torch
from torch import Tensor, nn

from wanvideo.models.config import TransformerConfig
from wanvideo.models.text_encoder import UMT5Encoder
from wanvideo.models.transformer import WanTransformer
from wanvideo.models.vae import WanVAE
from wanvideo.pipelines.device import DTYPES
from wanvideo.request import Phase, Tier
from wanvideo.runtime.placement import MemoryPlan, PhasePlan, Placement, Source
from wanvideo.runtime.quantize import converted_blocks, is_rounded, kind_for, quantize, quantized_blocks
from wanvideo.runtime.streaming import Arena, BlockStream, HostMemory
from wanvideo.sampling.guidance import Expert
from wanvideo.weights.folder import ModelFolder
from wanvideo.weights.loading import load_text_encoder, load_transformer, load_vae
from wanvideo.weights.network import NetworkPart
from wanvideo.weights.variants import Part

ModuleT = TypeVar("ModuleT", bound=nn.Module)

CPU: Final = torch.device("cpu")


class Parts:
    """Networks that compute on one device.

    Without a plan, or with one that keeps all, what is loaded stays on the device. Otherwise one network at a time is
    there. Transformers then live in host memory, and their blocks go to the device as far as there is room; the text
    encoder and the autoencoder are let go after their turn, and read again for the next.
    """

    def __init__(
        self,
        folder: ModelFolder,
        *,
        device: torch.device,
        dtype: torch.dtype,
        vae_dtype: torch.dtype,
        tier: Tier = Tier.EXACT,
        host_memory: Callable[[], HostMemory] = HostMemory,
    ) -> None:
        """host_memory: for a transformer that waits there."""
        self.folder, self.device, self.dtype, self.vae_dtype, self.tier = folder, device, dtype, vae_dtype, tier
        self.kind = kind_for(device)  # of 8-bit numbers in the tier fast
        self.plan: MemoryPlan | None = None
        self._loaded: dict[Part, nn.Module] = {}  # on the device, or on the CPU to work there
        self._waiting: dict[Part, tuple[WanTransformer, BlockStream]] = {}  # transformers in host memory
        self._text_stream: BlockStream | None = None
        self._arena = Arena(device)
        self._host_memory = host_memory

    @property
    def keep_all(self) -> bool:
        return self.plan is None or self.plan.keep_all

    @property
    def host_bytes(self) -> int:
        """Of host memory, in which transformers wait."""
        return sum(stream.host_bytes for _, stream in self._waiting.values())

    def arrange(self, plan: MemoryPlan | None) -> None:
        """From now on, networks lie where `plan` says. What lies elsewhere is let go."""
        before, self.plan = self.plan, plan
        if before is not None and plan is not None and not plan.keep_all and not before.keep_all:
            if before.transformer.source is not plan.transformer.source:
                self._let_wait_no_more()
            return
        if self.keep_all != (before is None or before.keep_all):
            self.free()

    # --- the networks ------------------------------------------------------------------------------------------------

    def encode_text(self, ids: Tensor, mask: Tensor) -> Tensor:
        """[B, S, D] on the device, of token ids and mask [B, S]."""
        encoder = self.text_encoder()
        where = CPU if self._text_placement is Placement.CPU else self.device
        return encoder(ids.to(where), mask.to(where)).to(self.device, self.dtype)  # type: ignore[no-any-return]

    def text_encoder(self) -> UMT5Encoder:
        placement = self._text_placement
        if placement is Placement.STREAMED:
            return self._get(Part.TEXT_ENCODER, self._streamed_text_encoder)
        where = CPU if placement is Placement.CPU else self.device
        return self._get(Part.TEXT_ENCODER, lambda: self._read_text_encoder(where))

    def vae(self, *, on_cpu: bool = False) -> WanVAE:
        """The autoencoder where the plan says, or on the CPU, where it computes in float32."""
        where, dtype = (CPU, torch.float32) if on_cpu else (self.vae_device, self._vae_dtype)
        loaded = self._loaded.get(Part.VAE)
        if loaded is not None and any((p.device, p.dtype) != (where, dtype) for p in loaded.parameters()):
            del self._loaded[Part.VAE], loaded
            self.empty_cache()
        return self._get(Part.VAE, lambda: self._read_vae(where, dtype))

    @property
    def vae_device(self) -> torch.device:
        return CPU if self.plan is not None and self.plan.vae.device == "cpu" else self.device

    def transformer(self, expert: Expert) -> WanTransformer:
        """On the device, or about to get there block by block."""
        if self.keep_all:
            part, network = self._of(expert)
            return self._get(part, lambda: self._on_device(network))
        transformer, stream = self._in_host_memory(expert)
        self._make_room()
        blocks = self._placed.transformer
        if self._arena.user is not stream:
            self._arena.open(stream.slab_bytes, resident=blocks.resident, lanes=blocks.buffers)
        stream.start()
        return transformer

    def fetch(self, expert: Expert) -> None:
        """Load a transformer as far as it can be before its turn."""
        if self.keep_all:
            self.transformer(expert)
        else:
            self._in_host_memory(expert)

    # --- room --------------------------------------------------------------------------------------------------------

    def shrink(self) -> bool:
        """Use less memory while denoising, with the same results: fewer blocks stay on the device. False: none does, or
        they could not wait elsewhere.
        """
        if self.plan is None or (not self.keep_all and self.plan.transformer.resident == 0):
            return False
        blocks = self.plan.transformer
        if blocks.source is None:
            return False
        total = blocks.resident + blocks.streamed
        # Half as many as before; of all, three quarters are left.
        resident = total * 3 // 4 if blocks.streamed == 0 else blocks.resident // 2
        lanes = min(2, total)
        fewer = replace(blocks, resident=resident, streamed=total - resident, buffers=lanes)
        said = f"memory ran out, so {resident} of {total} blocks stay on the GPU from now on"
        phases = self._lighter(self.plan.phases, blocks.resident - resident)
        self._arena.close()
        self.arrange(
            replace(self.plan, transformer=fewer, keep_all=False, phases=phases, notes=(*self.plan.notes, said))
        )
        self.empty_cache()
        return True

    def _lighter(self, phases: tuple[PhasePlan, ...], blocks: int) -> tuple[PhasePlan, ...]:
        """With so many blocks fewer on the device while denoising, where the size of one is known."""
        one = max((stream.slab_bytes for _, stream in self._waiting.values()), default=0)
        return tuple(
            replace(phase, peak_bytes=phase.peak_bytes - blocks * one) if phase.phase is Phase.DENOISE else phase
            for phase in phases
        )

    def make_room(self) -> bool:
        """Let one network at a time be on the device from now on. False: that is so already, transformers could not
        wait elsewhere, or there is no plan.
        """
        if self.plan is None or not self.plan.keep_all or self.plan.transformer.source is None:
            return False
        self.arrange(replace(self.plan, keep_all=False))
        return True

    def leave(self) -> None:
        """At the end of a video: give back what other programs on the device could use."""
        if not self.keep_all:
            self._arena.close()
            self._make_room()

    def free(self) -> None:
        """Let go of every network."""
        self._let_wait_no_more()
        self._make_room()

    def _make_room(self) -> None:
        if self._text_stream is not None:
            self._text_stream.arena.close()
            self._text_stream.close()
            self._text_stream = None
        if self._loaded:
            self._loaded.clear()
            self.empty_cache()

    def _let_wait_no_more(self) -> None:
        self._arena.close()
        for _, stream in self._waiting.values():
            stream.close()
        self._waiting.clear()
        self.empty_cache()

    def empty_cache(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _get(self, part: Part, load: Callable[[], ModuleT]) -> ModuleT:
        if part not in self._loaded:
            if not self.keep_all:
                self._arena.close()
                self._make_room()
                self.empty_cache()
            self._loaded[part] = load()
        return self._loaded[part]  # type: ignore[return-value]

    # --- how they are made -------------------------------------------------------------------------------------------

    @property
    def _placed(self) -> MemoryPlan:
        assert self.plan is not None
        return self.plan

    @property
    def _text_placement(self) -> Placement:
        return Placement.RESIDENT if self.keep_all else self._placed.text_encoder.placement

    @property
    def _vae_dtype(self) -> torch.dtype:
        return self.vae_dtype if self.plan is None else DTYPES[self.plan.vae.dtype]

    def _of(self, expert: Expert) -> tuple[Part, NetworkPart[TransformerConfig]]:
        if expert is Expert.LOW:
            return Part.TRANSFORMER_2, self.folder.transformers[1]
        return Part.TRANSFORMER, self.folder.transformers[0]

    def _in_host_memory(self, expert: Expert) -> tuple[WanTransformer, BlockStream]:
        part, network = self._of(expert)
        if part not in self._waiting:
            # Large weights stay in their files until the turn of their block: it is then put where it will lie.
            transformer = self._read_transformer(network, CPU, as_stored=True)
            blocks = converted_blocks(transformer, self.dtype)
            if self.tier is Tier.FAST:
                blocks = quantized_blocks(transformer, self.kind, self.device)
            memory = self._host_memory() if self._placed.transformer.source is Source.PINNED else None
            self._waiting[part] = transformer, BlockStream(transformer, blocks, self._arena, memory=memory)
        return self._waiting[part]

    def _on_device(self, network: NetworkPart[TransformerConfig]) -> WanTransformer:
        """As a whole; rounded on the way there, if it would find no room as it is stored."""
        plan, stored = self.plan, network.nbytes
        if self.tier is Tier.EXACT or plan is None or plan.peak_bytes + stored <= plan.cap_bytes:
            rounded = self.tier is Tier.FAST and self.device == CPU
            return self._in_tier(self._read_transformer(network, self.device, as_stored=rounded))
        transformer = self._read_transformer(network, CPU, as_stored=True)
        quantize(transformer, self.kind, self.device, move=True)
        return transformer.to(self.device)

    def _streamed_text_encoder(self) -> UMT5Encoder:
        encoder = self._read_text_encoder(CPU)
        arena, table = Arena(self.device), encoder.token_embedding
        # From where it was loaded: it is needed once a video, and would take as much host memory as a transformer.
        stream = BlockStream(encoder, encoder.blocks, arena, memory=None, staying=[table])
        arena.open(stream.slab_bytes, resident=0, lanes=2)
        encoder.token_embedding = _OnHost(table, self.device)  # type: ignore[assignment]
        stream.start()
        self._text_stream = stream
        return encoder

    def _read_text_encoder(self, where: torch.device) -> UMT5Encoder:
        # Its numbers go beyond the largest of float16 (docs/decisions/0013).
        dtype = torch.bfloat16 if self.dtype is torch.float16 else self.dtype
        return load_text_encoder(self.folder.text_encoder, device=where, dtype=dtype)

    def _read_vae(self, where: torch.device, dtype: torch.dtype) -> WanVAE:
        return load_vae(self.folder.vae, device=where, dtype=dtype)

    def _read_transformer(
        self, network: NetworkPart[TransformerConfig], where: torch.device, *, as_stored: bool = False
    ) -> WanTransformer:
        """as_stored: the matrices of its blocks stay in their files, and are converted or rounded by whoever asks."""
        if as_stored:
            return load_transformer(network, device=where, dtype=self.dtype, as_stored=is_rounded)
        return load_transformer(network, device=where, dtype=self.dtype)

    def _in_tier(self, transformer: WanTransformer) -> WanTransformer:
        if self.tier is Tier.FAST:
            quantize(transformer, self.kind, self.device)
        return transformer


class _OnHost(nn.Module):
    """A module that works on the CPU for a network on another device."""

    def __init__(self, module: nn.Module, device: torch.device) -> None:
        super().__init__()
        self.module, self.device = module, device

    def forward(self, x: Tensor) -> Tensor:
        return self.module(x.cpu()).to(self.device)  # type: ignore[no-any-return]
