"""What goes where for one video, how much memory that takes, and how long: decided beforehand, from sizes alone.

In this order: all networks on the GPU; one expert at a time, whole, while the other waits in host memory; as few blocks
as possible streamed through buffers; the autoencoder in tiles; the autoencoder on the CPU. The tier is never changed
here: it changes the picture, so it is the user's to choose. No torch.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from wanvideo.request import Phase, Tier
from wanvideo.runtime.architecture import Architecture, Work
from wanvideo.runtime.machine import H100, Calibration, Machine
from wanvideo.runtime.memory_model import GIB, MemoryModel, decode_bytes, encode_bytes
from wanvideo.runtime.needs import Needs, VAEBytes
from wanvideo.runtime.placement import (
    BlockPlacement,
    MemoryPlan,
    PhasePlan,
    Placement,
    Source,
    TextEncoderPlan,
    VAEPlan,
)
from wanvideo.runtime.tiles import Tiling, tilings

_OFFICIAL_VAE: Final = {Tier.EXACT: "float32", Tier.FAST: "bfloat16"}  # float32: as the official code decodes


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
    needs = Needs(
        architecture=architecture,
        work=work,
        machine=machine,
        rates=rates,
        tier=tier,
        model=model or MemoryModel(),
        vae_dtype=vae_dtype or (_OFFICIAL_VAE[tier] if machine.has_bf16 else "float32"),
        decoding=decoding,
        encoding=encoding,
    )
    return _on_cpu(needs) if machine.gpu is None else _on_gpu(needs)


@dataclass(frozen=True, slots=True)
class GPUNeeds:
    """Bytes of free GPU memory that one video needs in the exact tier, the CUDA context included."""

    together: int  # all networks at once
    in_turn: int  # one at a time, the transformer block by block


def gpu_needs(architecture: Architecture, work: Work, model: MemoryModel | None = None) -> GPUNeeds:
    """The most and the least that a plan makes use of, on any computer."""
    model = model or MemoryModel()
    needs = Needs(
        architecture=architecture,
        work=work,
        machine=Machine(host_total=0, host_available=0),
        rates=H100,  # not asked for
        tier=Tier.EXACT,
        model=model,
        vae_dtype=_OFFICIAL_VAE[Tier.EXACT],
        decoding=decode_bytes,
        encoding=encode_bytes,
    )
    least = max(needs.fixed + 2 * needs.slab, needs.text_peak(Placement.STREAMED))
    most = max(needs.together(), least)
    return GPUNeeds(*(needs.with_margin(peak) + model.context for peak in (most, least)))


# --- on a GPU --------------------------------------------------------------------------------------------------------


def _on_gpu(needs: Needs) -> MemoryPlan:
    if needs.together() <= needs.budget:
        return _all_at_once(needs)
    blocks = _blocks(needs)
    text, vae = _text_placement(needs), _vae(needs)
    denoising = needs.fixed + (blocks.resident + blocks.buffers) * needs.slab
    on_gpu = vae.device == "cuda"
    encoding = max(needs.text_peak(text), needs.encode_peak(vae.encode_tiles) if on_gpu else 0)
    decoding = needs.decode_peak(vae.tiles) if on_gpu else 0
    pinned = needs.pool if blocks.source is Source.PINNED else 0
    phases = (
        PhasePlan(phase=Phase.LOAD, peak_bytes=0, seconds=needs.load_seconds),
        PhasePlan(phase=Phase.ENCODE, peak_bytes=encoding, seconds=needs.encode_seconds(text, vae, keep=False)),
        PhasePlan(phase=Phase.DENOISE, peak_bytes=denoising, seconds=needs.denoise_seconds(blocks, keep_all=False)),
        PhasePlan(phase=Phase.DECODE, peak_bytes=decoding, seconds=needs.decode_seconds(vae)),
    )
    host_bytes, available = needs.host_bytes(pinned, text, vae), needs.machine.host_available
    short, short_of_host = max(0, needs.with_margin(denoising) - needs.cap), max(0, host_bytes - available)
    too_large = needs.rounded and blocks.source is Source.MAPPED
    if too_large:
        short_of_host = max(short_of_host, needs.pool + needs.model.host_base - needs.host_room)
    notes = [
        *needs.machine.notes,
        _about_blocks(needs, blocks),
        *((_about_rounding(needs),) if too_large else _about_source(needs, blocks)),
        *_about_text(needs, text),
        *_about_vae(needs, vae),
    ]
    if short:
        notes.append(
            f"denoising needs {_gib(denoising)} with every block streamed, and {_gib(needs.cap)} are there: "
            f"{_gib(short)} too little"
        )
    if short_of_host and not too_large:
        notes.append(f"{_gib(host_bytes)} of host memory are needed, and {_gib(available)} are available")
    return MemoryPlan(
        tier=needs.tier,
        device=needs.machine.device,
        transformer=blocks,
        text_encoder=TextEncoderPlan(placement=text, keep=False),
        vae=vae,
        keep_all=False,
        phases=phases,
        host_bytes=host_bytes,
        pinned_bytes=pinned,
        cap_bytes=needs.cap,
        short_bytes=max(short, short_of_host),
        rates=needs.rates.origin,
        gpus=needs.machine.gpus,
        notes=tuple(notes),
        remedy=_convert(needs) if too_large else None,
    )


def _all_at_once(needs: Needs) -> MemoryPlan:
    weights = needs.all_weights
    # What is rounded while it is loaded cannot wait in its file.
    source = None if needs.rounded and _source(needs) is Source.MAPPED else _source(needs)
    blocks = BlockPlacement(resident=needs.architecture.blocks, streamed=0, buffers=0, source=source)
    vae = VAEPlan(dtype=needs.vae_dtype, device="cuda")
    text = Placement.RESIDENT
    encoding = max(needs.text_work, needs.vae_work(needs.encoding, None) if needs.work.encoded_frames else 0)
    phases = (
        PhasePlan(phase=Phase.LOAD, peak_bytes=weights, seconds=needs.load_seconds),
        PhasePlan(
            phase=Phase.ENCODE,
            peak_bytes=weights + encoding,
            seconds=needs.encode_seconds(text, vae, keep=True),
        ),
        PhasePlan(
            phase=Phase.DENOISE,
            peak_bytes=weights + needs.denoise_work,
            seconds=needs.denoise_seconds(blocks, keep_all=True),
        ),
        PhasePlan(
            phase=Phase.DECODE,
            peak_bytes=weights + needs.vae_work(needs.decoding, None),
            seconds=needs.decode_seconds(vae),
        ),
    )
    return MemoryPlan(
        tier=needs.tier,
        device=needs.machine.device,
        transformer=blocks,
        text_encoder=TextEncoderPlan(placement=text, keep=True),
        vae=vae,
        keep_all=True,
        phases=phases,
        host_bytes=needs.host_bytes(0, text, vae),
        pinned_bytes=0,
        cap_bytes=needs.cap,
        short_bytes=0,
        rates=needs.rates.origin,
        gpus=needs.machine.gpus,
        notes=(*needs.machine.notes, "all networks are on the GPU together: nothing is loaded between phases"),
    )


def _blocks(needs: Needs) -> BlockPlacement:
    """As many blocks resident as there is room for."""
    total = needs.architecture.blocks
    source = _source(needs)
    slabs = max(0, needs.budget - needs.fixed) // needs.slab
    if slabs >= total:
        return BlockPlacement(resident=total, streamed=0, buffers=0, source=source)
    # Two buffers hide a copy behind the computation; a disk is less even, which a third one makes up for.
    wanted = min(total, 2 if source is Source.PINNED else 3)
    buffers = max(min(wanted, slabs), min(2, total))
    resident = max(0, slabs - buffers)
    return BlockPlacement(resident=resident, streamed=total - resident, buffers=buffers, source=source)


def _source(needs: Needs) -> Source:
    """Where blocks wait, or would if memory ran out."""
    return Source.PINNED if needs.pool + needs.model.host_base <= needs.host_room else Source.MAPPED


def _text_placement(needs: Needs) -> Placement:
    if needs.text_peak(Placement.RESIDENT) <= needs.budget:
        return Placement.RESIDENT
    if needs.text_peak(Placement.STREAMED) <= needs.budget:
        return Placement.STREAMED
    return Placement.CPU


def _vae(needs: Needs) -> VAEPlan:
    """Each way in as few pieces as fit; both on the CPU if one does not fit at all."""
    ways = [None, *tilings(needs.work.height, needs.work.width, needs.architecture.vae.spatial_stride)]
    decode = [tiles for tiles in ways if needs.decode_peak(tiles) <= needs.budget]
    encode = [tiles for tiles in ways if needs.encode_peak(tiles) <= needs.budget]
    if not (decode and encode):
        return VAEPlan(dtype="float32", device="cpu")
    return VAEPlan(dtype=needs.vae_dtype, device="cuda", tiles=decode[0], encode_tiles=encode[0])


# --- on the CPU ------------------------------------------------------------------------------------------------------


def _on_cpu(needs: Needs) -> MemoryPlan:
    """Everything in host memory, in float32; there is one way to do it."""
    weights = needs.weights(width=4) + 4 * needs.architecture.vae_parameters
    denoising = 2 * needs.model.denoising(needs.architecture, needs.work, Tier.EXACT)
    text = 2 * needs.model.text(needs.architecture, needs.work)
    vae = VAEPlan(dtype="float32", device="cpu")
    size = needs.work.height, needs.work.width
    images = needs.encoding(needs.architecture.vae, *size, "float32", None) if needs.work.encoded_frames else 0
    decoding = needs.decoding(needs.architecture.vae, *size, "float32", None)
    base = weights + needs.model.host_base
    blocks = BlockPlacement(resident=needs.architecture.blocks, streamed=0, buffers=0, source=Source.MAPPED)
    phases = (
        PhasePlan(phase=Phase.LOAD, peak_bytes=base, seconds=needs.load_seconds),
        PhasePlan(
            phase=Phase.ENCODE,
            peak_bytes=base + max(text, images),
            seconds=needs.encode_seconds(Placement.CPU, vae, keep=True),
        ),
        PhasePlan(
            phase=Phase.DENOISE,
            peak_bytes=base + denoising,
            seconds=needs.denoise_seconds(blocks, keep_all=True),
        ),
        PhasePlan(phase=Phase.DECODE, peak_bytes=base + decoding, seconds=needs.decode_seconds(vae)),
    )
    peak, available = max(phase.peak_bytes for phase in phases), needs.machine.host_available
    short = max(0, peak - available)
    notes = [*needs.machine.notes, "the CPU does everything, in float32, with all networks in host memory"]
    if needs.tier is Tier.FAST:
        notes.append("the fast tier is for GPUs: on the CPU it rounds as there, and takes longer")
    if short:
        notes.append(f"{_gib(peak)} of host memory are needed, and {_gib(available)} are available")
    return MemoryPlan(
        tier=needs.tier,
        device=needs.machine.device,
        transformer=blocks,
        text_encoder=TextEncoderPlan(placement=Placement.CPU, keep=True),
        vae=vae,
        keep_all=True,
        phases=phases,
        host_bytes=peak,
        pinned_bytes=0,
        cap_bytes=needs.cap,
        short_bytes=short,
        rates=needs.rates.origin,
        gpus=needs.machine.gpus,
        notes=tuple(notes),
    )


# --- words -----------------------------------------------------------------------------------------------------------


def _about_blocks(needs: Needs, blocks: BlockPlacement) -> str:
    two = needs.architecture.experts == 2
    who = "the expert at work" if two else "the transformer"
    if blocks.streamed == 0:
        other = "; the other waits in host memory" if two and blocks.source is Source.PINNED else ""
        return f"{who} is on the GPU whole{other}"
    block = needs.block_seconds(blocks.source)
    hidden = "behind the computation" if block.copy <= block.compute else "which takes longer than to compute it"
    where = "host memory" if blocks.source is Source.PINNED else "the disk"
    total = blocks.resident + blocks.streamed
    return (
        f"of {total} blocks, {blocks.resident} of {who} stay on the GPU and {blocks.streamed} come from {where} "
        f"for every pass: {1000 * block.copy:.0f} ms to copy one, {hidden} ({1000 * block.compute:.0f} ms)"
    )


def _about_source(needs: Needs, blocks: BlockPlacement) -> Iterator[str]:
    if blocks.source is Source.PINNED:
        return
    what = "both experts" if needs.architecture.experts == 2 else "the transformer"
    when = "again and again" if blocks.streamed else "whenever it is needed"
    needed, room = _gib(needs.pool + needs.model.host_base), _gib(needs.host_room)
    yield (
        f"{what} would take {needed} of host memory, and {room} may be used: what is not on the GPU is read from the "
        f"disk {when}"
    )


def _about_rounding(needs: Needs) -> str:
    needed, room = _gib(needs.pool + needs.model.host_base), _gib(needs.host_room)
    return (
        f"the tier fast rounds the {needs.architecture.precision} weights of this model to 8 bits while it loads them, "
        f"and they would take {needed} of host memory, of which {room} may be used: only what a file holds in "
        f"{needs.machine.eight_bit} can come from the disk block by block"
    )


def _convert(needs: Needs) -> str:
    dtype = needs.machine.eight_bit
    return (
        f"convert the model once, which takes {_gib(needs.converted_bytes)} of disk: `wan models convert "
        f"{needs.architecture.name} FOLDER --dtype {dtype} && wan models add FOLDER`, and ask for variant {dtype}; "
        "or use tier exact"
    )


def _about_text(needs: Needs, text: Placement) -> Iterator[str]:
    size = _gib(needs.architecture.text_encoder_bytes())
    if text is Placement.STREAMED:
        yield f"the text encoder ({size}) goes through the GPU block by block"
    elif text is Placement.CPU:
        yield f"the text encoder ({size}) works on the CPU: there is no room for two of its blocks"


def _about_vae(needs: Needs, vae: VAEPlan) -> Iterator[str]:
    whole = _gib(needs.decode_peak(None))
    if vae.device == "cpu":
        yield f"the CPU decodes: the GPU would need {whole}, and even the smallest tiles are too large for it"
        return
    if vae.tiles is not None:
        yield f"the video is decoded in {_tiles(needs, vae.tiles)}: the whole picture would need {whole}"
    if vae.encode_tiles is not None:
        whole = _gib(needs.encode_peak(None))
        yield f"pictures are encoded in {_tiles(needs, vae.encode_tiles)}: whole ones would need {whole}"


def _tiles(needs: Needs, tiles: Tiling) -> str:
    height, width = needs.work.height, needs.work.width
    more = 100 * (tiles.work(height, width) - 1)
    count = tiles.count(height, width)
    return f"{count} tiles of {tiles} pixels, which changes it slightly and takes {more:.0f} % more work"


def _gib(nbytes: int) -> str:
    return f"{nbytes / GIB:.1f} GiB"
