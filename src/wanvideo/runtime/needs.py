"""What each part of a video needs, in bytes and in seconds, wherever it is placed. No torch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from wanvideo.models.config import VAEConfig
from wanvideo.request import Tier
from wanvideo.runtime.architecture import Architecture, Work
from wanvideo.runtime.cost import BlockSeconds, block_compute, decode_seconds, encode_seconds, text_seconds
from wanvideo.runtime.machine import Calibration, Machine
from wanvideo.runtime.memory_model import WIDTH_OF, MemoryModel
from wanvideo.runtime.mesh import Mesh, mesh_for
from wanvideo.runtime.placement import BlockPlacement, Placement, Source, VAEPlan
from wanvideo.runtime.strips import slots_bytes, strip_work
from wanvideo.runtime.tiles import Tiling

# (autoencoder, height, width, dtype, tiles or None) -> bytes beside its weights.
VAEBytes: TypeAlias = Callable[[VAEConfig, int, int, str, Tiling | None], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What each part of one video needs, in bytes and seconds, for every way of placing it."""

    architecture: Architecture
    work: Work
    machine: Machine
    rates: Calibration
    tier: Tier
    model: MemoryModel
    vae_dtype: str
    decoding: VAEBytes
    encoding: VAEBytes

    # --- bytes -------------------------------------------------------------------------------------------------------

    @property
    def cap(self) -> int:
        """Bytes that torch's allocator may take."""
        if self.machine.gpu is None:
            return self.machine.host_available
        free = max(0, self.machine.gpu_free - (0 if self.machine.has_context else self.model.context))
        return free if self.machine.memory_limit is None else min(free, self.machine.memory_limit)

    @property
    def budget(self) -> int:
        """What a predicted peak may be, so that it fits with the margin."""
        return int(self.cap / (1 + self.model.margin))

    def with_margin(self, peak: int) -> int:
        return int(peak * (1 + self.model.margin))

    @property
    def slab(self) -> int:
        return self.architecture.slab(self.tier)

    @property
    def pool(self) -> int:
        """The blocks of all experts; of several GPUs, the part of them that each holds for all."""
        return -(-self.architecture.experts * self.architecture.blocks * self.slab // self.machine.gpus)

    @property
    def rounded(self) -> bool:
        """Whether weights become others while they are loaded, so that no file can take the place of host memory."""
        other = self.architecture.precision in ("fp8", "int8") and self.architecture.precision != self.machine.eight_bit
        return self.tier is Tier.FAST and (self.architecture.block.matrices > 0 or other)

    @property
    def converted_bytes(self) -> int:
        """On disk, of this model with the matrices of all blocks in 8 bits."""
        one, text = self.architecture, self.architecture.text_block.times(self.architecture.text_blocks)
        transformer = one.block.times(one.blocks).nbytes_in_8_bits + one.rest.nbytes(2)
        text_encoder = text.nbytes_in_8_bits + one.text_rest.nbytes(2)
        return one.experts * transformer + text_encoder + 4 * one.vae_parameters

    @property
    def host_room(self) -> int:
        """Bytes of host memory that may be used."""
        return max(0, self.machine.host_available - self.model.host_reserve)

    @property
    def denoise_work(self) -> int:
        return self.model.denoising(
            self.architecture, self.work, self.tier, self.mesh.width, fused=self.machine.has_bf16
        )

    @property
    def mesh(self) -> Mesh:
        """How the GPUs share the work."""
        return mesh_for(self.machine.gpus, guided=self.work.guided)

    @property
    def fixed(self) -> int:
        """While denoising, beside the blocks."""
        return self.rest + self.work.lora_bytes + self.denoise_work

    @property
    def rest(self) -> int:
        """Of the transformer at work, what is not in its blocks."""
        return self.architecture.rest.nbytes(2)

    def weights(self, width: int) -> int:
        """Of all transformers and the text encoder, with LoRAs."""
        architecture = self.architecture
        tier = self.tier if width == 2 else Tier.EXACT
        one = architecture.blocks * architecture.slab(tier, width) + architecture.rest.nbytes(width)
        return architecture.experts * (one + self.work.lora_bytes) + architecture.text_encoder_bytes(width)

    @property
    def vae_weights(self) -> int:
        return WIDTH_OF[self.vae_dtype] * self.architecture.vae_parameters

    @property
    def all_weights(self) -> int:
        return self.weights(width=2) + self.vae_weights

    @property
    def text_work(self) -> int:
        return self.model.text(self.architecture, self.work)

    def vae_work(self, estimate: VAEBytes, tiles: Tiling | None) -> int:
        nbytes = estimate(self.architecture.vae, self.work.height, self.work.width, self.vae_dtype, tiles)
        if not self.machine.has_bf16:
            nbytes = int(nbytes * (self.model.plain_encode if estimate is self.encoding else self.model.plain_decode))
        return nbytes + self.model.workspace

    def together(self) -> int:
        images = self.vae_work(self.encoding, None) if self.work.encoded_frames else 0
        most = max(self.text_work, images, self.denoise_work, self.vae_work(self.decoding, None))
        return self.all_weights + most

    def text_peak(self, placement: Placement) -> int:
        match placement:
            case Placement.RESIDENT:
                return self.architecture.text_encoder_bytes() + self.text_work
            case Placement.STREAMED:
                return 2 * self.architecture.text_block.nbytes(2) + self.text_work
            case Placement.CPU:
                return 0

    def encode_peak(self, tiles: Tiling | None) -> int:
        """Of the autoencoder on the GPU; 0 if the video has no pictures to encode."""
        return self.vae_weights + self.vae_work(self.encoding, tiles) if self.work.encoded_frames else 0

    def decode_peak(self, tiles: Tiling | None) -> int:
        return self.vae_weights + self.vae_work(self.decoding, tiles)

    def host_bytes(self, pinned: int, text: Placement, vae: VAEPlan) -> int:
        """At most; files that are only mapped can be dropped by the system, and do not count."""
        architecture, size = self.architecture, (self.work.height, self.work.width)
        staying = self.model.host_base + pinned
        encoding = self.text_work if text is Placement.CPU else 0
        decoding = 0
        if vae.tiles is not None:  # frames wait in 16 bits a number until the last tile comes
            decoding = int(2 * 3 * self.work.frames * self.work.area * self.work_of(vae.tiles))
        if vae.device == "cpu":
            decoding = 4 * architecture.vae_parameters + self.decoding(architecture.vae, *size, vae.dtype, None)
        elif self.machine.gpus > 1 and vae.tiles is None:
            decoding = slots_bytes(architecture.vae, *size) // self.machine.gpus  # of which each rank counts its part
        return staying + max(encoding, decoding)

    # --- seconds -----------------------------------------------------------------------------------------------------

    @property
    def load_seconds(self) -> float:
        """Of the first video; later ones find what the file cache has kept."""
        return self.architecture.stored_bytes / (self.rates.disk_gbs * 1e9)

    def encode_seconds(self, text: Placement, vae: VAEPlan, *, keep: bool) -> float:
        on_cpu = text is Placement.CPU
        seconds = text_seconds(
            self.architecture, self.work, self.rates.cpu_tflops if on_cpu else self.rates.bf16_tflops
        )
        if not (on_cpu or keep):
            seconds += self.architecture.text_encoder_bytes() / (self.rates.h2d_gbs * 1e9)
        if self.work.encoded_frames:
            overlap = self.work_of(vae.encode_tiles)
            seconds += encode_seconds(self.architecture, self.work, self.vae_rate(vae), vae.dtype, overlap)
        return seconds

    def denoise_seconds(self, blocks: BlockPlacement, *, keep_all: bool) -> float:
        block = self.block_seconds(blocks.source)
        forward = blocks.resident * block.compute + blocks.streamed * block.streamed
        copied = 0 if keep_all else self.architecture.experts * blocks.resident
        return self.work.forwards / self.mesh.branches * forward + copied * block.copy

    def block_seconds(self, source: Source | None) -> BlockSeconds:
        copy = self.slab / (self.rates.h2d_gbs * 1e9)
        if source is Source.MAPPED:
            copy = max(copy, self.architecture.stored_block / (self.rates.disk_gbs * 1e9))
        compute = block_compute(
            self.architecture, self.work, self.tier, self.rates, self.mesh.width, fused=self.machine.has_bf16
        )
        return BlockSeconds(compute=compute, copy=copy)

    def decode_seconds(self, vae: VAEPlan) -> float:
        alone = decode_seconds(self.architecture, self.work, self.vae_rate(vae), vae.dtype, self.work_of(vae.tiles))
        if vae.device == "cpu" or vae.tiles is not None:  # then each GPU, or the CPU beside it, does all of it
            return alone
        config = self.architecture.vae
        cells = max(self.work.width, self.work.height) // config.spatial_stride
        return alone * strip_work(config, cells, self.machine.gpus)

    def vae_rate(self, vae: VAEPlan) -> float:
        return self.rates.cpu_tflops / 2 if vae.device == "cpu" else self.rates.vae_tflops

    def work_of(self, tiles: Tiling | None) -> float:
        """How often a pixel is worked on."""
        return 1.0 if tiles is None else tiles.work(self.work.height, self.work.width)
