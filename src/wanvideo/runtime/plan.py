"""What goes where for one video, how much memory that takes, and how long: decided beforehand, from sizes alone.

In this order: all networks on the GPU; one expert at a time, whole, while the other waits in host memory; as few blocks
as possible streamed through buffers; the autoencoder in tiles; the autoencoder on the CPU. The tier is never changed
here: it changes the picture, so it is the user's to choose. No torch.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from wanvideo.models.config import VAEConfig
from wanvideo.request import Phase, Tier
from wanvideo.runtime.architecture import Architecture, Work
from wanvideo.runtime.cost import BlockSeconds, block_compute, decode_seconds, encode_seconds, text_seconds
from wanvideo.runtime.machine import Calibration, Machine
from wanvideo.runtime.memory_model import GIB, WIDTH_OF, MemoryModel, decode_bytes, encode_bytes

# (autoencoder, height, width, dtype, side of a tile in pixels or None) -> bytes beside its weights.
VAEBytes: TypeAlias = Callable[[VAEConfig, int, int, str, int | None], int]

TILES: Final = (1024, 768, 640, 512, 448, 384, 320, 256, 192, 128)  # pixels a side, what is tried in this order
_OFFICIAL_VAE: Final = {Tier.EXACT: "float32", Tier.FAST: "bfloat16"}  # float32: as the official code decodes


class Source(StrEnum):
    """Where the blocks wait that are not on the GPU."""

    PINNED = "pinned"  # host memory that the GPU copies from directly
    MAPPED = "mapped"  # their files


class Placement(StrEnum):
    """Where the text encoder works."""

    RESIDENT = "resident"  # whole on the GPU, for its phase
    STREAMED = "streamed"  # block by block; the table of tokens is looked up on the CPU
    CPU = "cpu"


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockPlacement:
    """The blocks of the transformer at work. Two experts take turns in the same `resident` slabs and buffers."""

    resident: int  # on the GPU for as long as the transformer works
    streamed: int  # copied for every forward
    buffers: int  # on the GPU, of one block each, that the streamed ones go through; 0 where none are streamed
    source: Source


@dataclass(frozen=True, slots=True, kw_only=True)
class TextEncoderPlan:
    placement: Placement
    keep: bool  # after its phase


@dataclass(frozen=True, slots=True, kw_only=True)
class VAEPlan:
    dtype: str  # "float32" or "bfloat16"
    tile: int | None  # side in pixels; None: the whole picture
    device: str  # "cuda" or "cpu"


@dataclass(frozen=True, slots=True, kw_only=True)
class PhasePlan:
    phase: Phase
    peak_bytes: int  # of GPU memory in torch's allocator; of host memory where the CPU does everything
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPlan:
    """What is decided, and what it will take. All numbers are predictions.

    Without `keep_all`, one network at a time is on the GPU: the blocks and buffers are given back before the
    autoencoder's turn, and so is the rest of the transformers unless `MemoryModel.rest_in_all_phases` says otherwise.
    """

    tier: Tier
    device: str  # "cuda:0" or "cpu"
    transformer: BlockPlacement
    text_encoder: TextEncoderPlan
    vae: VAEPlan
    keep_all: bool  # all networks are on the device from beginning to end
    phases: tuple[PhasePlan, ...]  # each once, in their order
    host_bytes: int  # of host memory, of which the pinned part is `pinned_bytes`
    pinned_bytes: int
    cap_bytes: int  # how much memory of the device there is for us
    short_bytes: int  # by how much that is too little; 0: it fits
    rates: str  # for which computer the seconds hold, and whether they were measured there
    notes: tuple[str, ...]  # why, in words

    @property
    def fits(self) -> bool:
        return self.short_bytes == 0

    @property
    def peak_bytes(self) -> int:
        return max(phase.peak_bytes for phase in self.phases)

    @property
    def seconds(self) -> float:
        return sum(phase.seconds for phase in self.phases)

    def phase(self, phase: Phase) -> PhasePlan:
        return next(each for each in self.phases if each.phase is phase)


def plan(
    architecture: Architecture,
    work: Work,
    machine: Machine,
    rates: Calibration,
    *,
    tier: Tier = Tier.EXACT,
    model: MemoryModel | None = None,
    vae_dtype: str | None = None,
    decoding: VAEBytes = decode_bytes,
    encoding: VAEBytes = encode_bytes,
) -> MemoryPlan:
    """Decide where everything goes. Always gives a plan: if nothing fits, `short_bytes` says what is missing.

    vae_dtype: "float32" or "bfloat16"; by default that of the tier.
    decoding, encoding: how much memory the autoencoder takes.
    """
    planner = _Planner(
        architecture=architecture,
        work=work,
        machine=machine,
        rates=rates,
        tier=tier,
        model=model or MemoryModel(),
        vae_dtype=vae_dtype or _OFFICIAL_VAE[tier],
        decoding=decoding,
        encoding=encoding,
    )
    return planner.on_cpu() if machine.gpu is None else planner.on_gpu()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Planner:
    """The arguments of `plan`."""

    architecture: Architecture
    work: Work
    machine: Machine
    rates: Calibration
    tier: Tier
    model: MemoryModel
    vae_dtype: str
    decoding: VAEBytes
    encoding: VAEBytes

    # --- on a GPU ----------------------------------------------------------------------------------------------------

    def on_gpu(self) -> MemoryPlan:
        if self._together() <= self._budget:
            return self._all_at_once()
        blocks, source_note = self._blocks()
        text, vae = self._text_placement(), self._vae()
        denoising = self._fixed + (blocks.resident + blocks.buffers) * self._slab
        encoding = max(self._text_peak(text), self._encode_peak(vae) if self.work.encoded_frames else 0)
        decoding = self._decode_peak(vae)
        pinned = self._pool if blocks.source is Source.PINNED else 0
        phases = (
            PhasePlan(phase=Phase.LOAD, peak_bytes=0, seconds=self._load_seconds),
            PhasePlan(phase=Phase.ENCODE, peak_bytes=encoding, seconds=self._encode_seconds(text, vae, keep=False)),
            PhasePlan(phase=Phase.DENOISE, peak_bytes=denoising, seconds=self._denoise_seconds(blocks, keep_all=False)),
            PhasePlan(phase=Phase.DECODE, peak_bytes=decoding, seconds=self._decode_seconds(vae)),
        )
        short = max(0, self._with_margin(denoising) - self._cap)
        notes = [
            *self.machine.notes,
            self._about_blocks(blocks),
            *source_note,
            *self._about_text(text),
            *self._about_vae(vae),
        ]
        if short:
            notes.append(
                f"denoising needs {_gib(denoising)} with every block streamed, and {_gib(self._cap)} are there: "
                f"{_gib(short)} too little"
            )
        return self._plan(
            transformer=blocks,
            text_encoder=TextEncoderPlan(placement=text, keep=False),
            vae=vae,
            keep_all=False,
            phases=phases,
            host_bytes=self._host_bytes(pinned, text, vae),
            pinned_bytes=pinned,
            short_bytes=short,
            notes=tuple(notes),
        )

    def _all_at_once(self) -> MemoryPlan:
        weights = self._all_weights
        blocks = BlockPlacement(
            resident=self.architecture.blocks, streamed=0, buffers=0, source=Source.MAPPED
        )  # each is read once, from its file
        vae = VAEPlan(dtype=self.vae_dtype, tile=None, device="cuda")
        text = Placement.RESIDENT
        encoding = max(self._text_work, self._vae_work(self.encoding, None) if self.work.encoded_frames else 0)
        phases = (
            PhasePlan(phase=Phase.LOAD, peak_bytes=weights, seconds=self._load_seconds),
            PhasePlan(
                phase=Phase.ENCODE,
                peak_bytes=weights + encoding,
                seconds=self._encode_seconds(text, vae, keep=True),
            ),
            PhasePlan(
                phase=Phase.DENOISE,
                peak_bytes=weights + self._denoise_work,
                seconds=self._denoise_seconds(blocks, keep_all=True),
            ),
            PhasePlan(
                phase=Phase.DECODE,
                peak_bytes=weights + self._vae_work(self.decoding, None),
                seconds=self._decode_seconds(vae),
            ),
        )
        return self._plan(
            transformer=blocks,
            text_encoder=TextEncoderPlan(placement=text, keep=True),
            vae=vae,
            keep_all=True,
            phases=phases,
            host_bytes=self.model.host_base,
            pinned_bytes=0,
            short_bytes=0,
            notes=(*self.machine.notes, "all networks are on the GPU together: nothing is loaded between phases"),
        )

    def _blocks(self) -> tuple[BlockPlacement, list[str]]:
        """As many blocks resident as there is room for."""
        total = self.architecture.blocks
        source, note = self._source()
        slabs = max(0, self._budget - self._fixed) // self._slab
        if slabs >= total:
            return BlockPlacement(resident=total, streamed=0, buffers=0, source=source), note
        # Two buffers hide a copy behind the computation; a disk is less even, which a third one makes up for.
        wanted = min(total, 2 if source is Source.PINNED else 3)
        buffers = max(min(wanted, slabs), min(2, total))
        resident = max(0, slabs - buffers)
        return BlockPlacement(resident=resident, streamed=total - resident, buffers=buffers, source=source), note

    def _source(self) -> tuple[Source, list[str]]:
        needed = self._pool + self.model.host_base
        room = self.machine.host_available - self.model.host_reserve
        if needed <= room:
            return Source.PINNED, []
        what = "both experts" if self.architecture.experts == 2 else "the transformer"
        return Source.MAPPED, [
            f"{what} would take {_gib(needed)} of host memory, and {_gib(max(0, room))} may be used: what is not on "
            "the GPU is read from the disk again and again"
        ]

    def _text_placement(self) -> Placement:
        if self._text_peak(Placement.RESIDENT) <= self._budget:
            return Placement.RESIDENT
        if self._text_peak(Placement.STREAMED) <= self._budget:
            return Placement.STREAMED
        return Placement.CPU

    def _vae(self) -> VAEPlan:
        for tile in (None, *self._tiles()):
            vae = VAEPlan(dtype=self.vae_dtype, tile=tile, device="cuda")
            encoding = self._encode_peak(vae) if self.work.encoded_frames else 0
            if max(encoding, self._decode_peak(vae)) <= self._budget:
                return vae
        return VAEPlan(dtype="float32", tile=None, device="cpu")

    def _tiles(self) -> Iterator[int]:
        """Sides that are smaller than the picture, and wide enough to be blended."""
        stride = self.architecture.vae.spatial_stride
        longest = max(self.work.width, self.work.height)
        return (tile for tile in TILES if 8 * stride <= tile < longest and tile % stride == 0)

    # --- on the CPU --------------------------------------------------------------------------------------------------

    def on_cpu(self) -> MemoryPlan:
        """Everything in host memory, in float32; there is one way to do it."""
        weights = self._weights(width=4) + 4 * self.architecture.vae_parameters
        denoising = 2 * self.model.denoising(self.architecture, self.work, Tier.EXACT)
        text = 2 * self.model.text(self.architecture, self.work)
        vae = VAEPlan(dtype="float32", tile=None, device="cpu")
        size = self.work.height, self.work.width
        images = self.encoding(self.architecture.vae, *size, "float32", None) if self.work.encoded_frames else 0
        decoding = self.decoding(self.architecture.vae, *size, "float32", None)
        base = weights + self.model.host_base
        blocks = BlockPlacement(resident=self.architecture.blocks, streamed=0, buffers=0, source=Source.MAPPED)
        phases = (
            PhasePlan(phase=Phase.LOAD, peak_bytes=base, seconds=self._load_seconds),
            PhasePlan(
                phase=Phase.ENCODE,
                peak_bytes=base + max(text, images),
                seconds=self._encode_seconds(Placement.CPU, vae, keep=True),
            ),
            PhasePlan(
                phase=Phase.DENOISE,
                peak_bytes=base + denoising,
                seconds=self._denoise_seconds(blocks, keep_all=True),
            ),
            PhasePlan(phase=Phase.DECODE, peak_bytes=base + decoding, seconds=self._decode_seconds(vae)),
        )
        peak, available = max(phase.peak_bytes for phase in phases), self.machine.host_available
        short = max(0, peak - available)
        notes = [*self.machine.notes, "the CPU does everything, in float32, with all networks in host memory"]
        if self.tier is Tier.FAST:
            notes.append("the fast tier needs a GPU: on the CPU, both tiers are the same")
        if short:
            notes.append(f"{_gib(peak)} of host memory are needed, and {_gib(available)} are available")
        return self._plan(
            transformer=blocks,
            text_encoder=TextEncoderPlan(placement=Placement.CPU, keep=True),
            vae=vae,
            keep_all=True,
            phases=phases,
            host_bytes=peak,
            pinned_bytes=0,
            short_bytes=short,
            notes=tuple(notes),
        )

    # --- bytes -------------------------------------------------------------------------------------------------------

    @property
    def _cap(self) -> int:
        """Bytes that torch's allocator may take."""
        if self.machine.gpu is None:
            return self.machine.host_available
        free = max(0, self.machine.gpu_free - (0 if self.machine.has_context else self.model.context))
        return free if self.machine.memory_limit is None else min(free, self.machine.memory_limit)

    @property
    def _budget(self) -> int:
        """What a predicted peak may be, so that it fits with the margin."""
        return int(self._cap / (1 + self.model.margin))

    def _with_margin(self, peak: int) -> int:
        return int(peak * (1 + self.model.margin))

    @property
    def _slab(self) -> int:
        return self.architecture.slab(self.tier)

    @property
    def _pool(self) -> int:
        """The blocks of all experts."""
        return self.architecture.experts * self.architecture.blocks * self._slab

    @property
    def _denoise_work(self) -> int:
        return self.model.denoising(self.architecture, self.work, self.tier)

    @property
    def _fixed(self) -> int:
        """While denoising, beside the blocks."""
        return self._rest + self.work.lora_bytes + self._denoise_work

    @property
    def _rest(self) -> int:
        """Of the transformers, what is not streamed."""
        experts = self.architecture.experts if self.model.rest_of_all_experts else 1
        return experts * self.architecture.rest.nbytes(2)

    @property
    def _standing(self) -> int:
        """Beside the text encoder and the autoencoder in their turn."""
        return self._rest if self.model.rest_in_all_phases else 0

    def _weights(self, width: int) -> int:
        """Of all transformers and the text encoder, with LoRAs."""
        architecture = self.architecture
        tier = self.tier if width == 2 else Tier.EXACT
        one = architecture.blocks * architecture.slab(tier, width) + architecture.rest.nbytes(width)
        return architecture.experts * (one + self.work.lora_bytes) + architecture.text_encoder_bytes(width)

    @property
    def _vae_weights(self) -> int:
        return WIDTH_OF[self.vae_dtype] * self.architecture.vae_parameters

    @property
    def _all_weights(self) -> int:
        return self._weights(width=2) + self._vae_weights

    @property
    def _text_work(self) -> int:
        return self.model.text(self.architecture, self.work)

    def _vae_work(self, estimate: VAEBytes, tile: int | None) -> int:
        size = self.work.height, self.work.width
        return estimate(self.architecture.vae, *size, self.vae_dtype, tile) + self.model.workspace

    def _together(self) -> int:
        images = self._vae_work(self.encoding, None) if self.work.encoded_frames else 0
        most = max(self._text_work, images, self._denoise_work, self._vae_work(self.decoding, None))
        return self._all_weights + most

    def _text_peak(self, placement: Placement) -> int:
        match placement:
            case Placement.RESIDENT:
                return self._standing + self.architecture.text_encoder_bytes() + self._text_work
            case Placement.STREAMED:
                return self._standing + 2 * self.architecture.text_block.nbytes(2) + self._text_work
            case Placement.CPU:
                return self._standing

    def _encode_peak(self, vae: VAEPlan) -> int:
        return self._vae_peak(self.encoding, vae)

    def _decode_peak(self, vae: VAEPlan) -> int:
        return self._vae_peak(self.decoding, vae)

    def _vae_peak(self, estimate: VAEBytes, vae: VAEPlan) -> int:
        if vae.device == "cpu":
            return self._standing
        return self._standing + self._vae_weights + self._vae_work(estimate, vae.tile)

    def _host_bytes(self, pinned: int, text: Placement, vae: VAEPlan) -> int:
        """At most; files that are only mapped can be dropped by the system, and do not count."""
        architecture, size = self.architecture, (self.work.height, self.work.width)
        staying = self.model.host_base + pinned
        encoding = self._text_work if text is Placement.CPU else 0
        decoding = 0
        if vae.device == "cpu":
            decoding = 4 * architecture.vae_parameters + self.decoding(architecture.vae, *size, vae.dtype, None)
        return staying + max(encoding, decoding)

    # --- seconds -----------------------------------------------------------------------------------------------------

    @property
    def _load_seconds(self) -> float:
        """Of the first video; later ones find what the file cache has kept."""
        return self.architecture.stored_bytes / (self.rates.disk_gbs * 1e9)

    def _encode_seconds(self, text: Placement, vae: VAEPlan, *, keep: bool) -> float:
        on_cpu = text is Placement.CPU
        seconds = text_seconds(
            self.architecture, self.work, self.rates.cpu_tflops if on_cpu else self.rates.bf16_tflops
        )
        if not (on_cpu or keep):
            seconds += self.architecture.text_encoder_bytes() / (self.rates.h2d_gbs * 1e9)
        if self.work.encoded_frames:
            overlap = self._overlap(vae)
            seconds += encode_seconds(self.architecture, self.work, self._vae_rate(vae), vae.dtype, overlap)
        return seconds

    def _denoise_seconds(self, blocks: BlockPlacement, *, keep_all: bool) -> float:
        block = self._block_seconds(blocks.source)
        forward = blocks.resident * block.compute + blocks.streamed * block.streamed
        copied = 0 if keep_all else self.architecture.experts * blocks.resident
        return self.work.forwards * forward + copied * block.copy

    def _block_seconds(self, source: Source) -> BlockSeconds:
        copy = self._slab / (self.rates.h2d_gbs * 1e9)
        if source is Source.MAPPED:
            copy = max(copy, self.architecture.stored_block / (self.rates.disk_gbs * 1e9))
        return BlockSeconds(compute=block_compute(self.architecture, self.work, self.tier, self.rates), copy=copy)

    def _decode_seconds(self, vae: VAEPlan) -> float:
        return decode_seconds(self.architecture, self.work, self._vae_rate(vae), vae.dtype, self._overlap(vae))

    def _vae_rate(self, vae: VAEPlan) -> float:
        return self.rates.cpu_tflops / 2 if vae.device == "cpu" else self.rates.vae_tflops

    def _overlap(self, vae: VAEPlan) -> float:
        """How often a pixel is worked on: tiles overlap by a quarter."""
        if vae.tile is None:
            return 1.0
        sides = (self.work.height, self.work.width)
        worked = [tile_count(side, vae.tile) * min(side, vae.tile) for side in sides]
        return worked[0] * worked[1] / self.work.area

    # --- words -------------------------------------------------------------------------------------------------------

    def _about_blocks(self, blocks: BlockPlacement) -> str:
        two = self.architecture.experts == 2
        who = "the expert at work" if two else "the transformer"
        if blocks.streamed == 0:
            other = "; the other waits in host memory" if two and blocks.source is Source.PINNED else ""
            return f"{who} is on the GPU whole{other}"
        block = self._block_seconds(blocks.source)
        hidden = "behind the computation" if block.copy <= block.compute else "which takes longer than to compute it"
        where = "host memory" if blocks.source is Source.PINNED else "the disk"
        total = blocks.resident + blocks.streamed
        return (
            f"of {total} blocks, {blocks.resident} of {who} stay on the GPU and {blocks.streamed} come from {where} "
            f"for every pass: {1000 * block.copy:.0f} ms to copy one, {hidden} ({1000 * block.compute:.0f} ms)"
        )

    def _about_text(self, text: Placement) -> Iterator[str]:
        size = _gib(self.architecture.text_encoder_bytes())
        if text is Placement.STREAMED:
            yield f"the text encoder ({size}) goes through the GPU block by block"
        elif text is Placement.CPU:
            yield f"the text encoder ({size}) works on the CPU: there is no room for two of its blocks"

    def _about_vae(self, vae: VAEPlan) -> Iterator[str]:
        whole = _gib(self._vae_weights + self._vae_work(self.decoding, None))
        if vae.device == "cpu":
            yield f"the CPU decodes: the GPU would need {whole}, and even the smallest tiles are too large for it"
        elif vae.tile is not None:
            yield f"the video is decoded in tiles of {vae.tile} pixels: the whole picture would need {whole}"

    def _plan(
        self,
        *,
        transformer: BlockPlacement,
        text_encoder: TextEncoderPlan,
        vae: VAEPlan,
        keep_all: bool,
        phases: tuple[PhasePlan, ...],
        host_bytes: int,
        pinned_bytes: int,
        short_bytes: int,
        notes: tuple[str, ...],
    ) -> MemoryPlan:
        return MemoryPlan(
            tier=self.tier,
            device=self.machine.device,
            transformer=transformer,
            text_encoder=text_encoder,
            vae=vae,
            keep_all=keep_all,
            phases=phases,
            host_bytes=host_bytes,
            pinned_bytes=pinned_bytes,
            cap_bytes=self._cap,
            short_bytes=short_bytes,
            rates=self.rates.origin,
            notes=notes,
        )


def tile_count(length: int, tile: int) -> int:
    """Tiles along one side, with a quarter of overlap, as `runtime.tiling` places them."""
    stride = tile * 3 // 4
    last = max(0, length - tile)
    return -(-last // stride) + 1


def _gib(nbytes: int) -> str:
    return f"{nbytes / GIB:.1f} GiB"
