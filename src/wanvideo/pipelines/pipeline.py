"""One model, ready to make videos: text encoder, transformers and autoencoder, from request to frames."""

import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
import numpy.typing as npt
import torch
from PIL.Image import Image
from torch import Tensor

from wanvideo.errors import InvalidRequest, NonFiniteLatents, NotEnoughMemory
from wanvideo.kernels.attention import EXACT, FAST, attention_backends
from wanvideo.media.image import load_image
from wanvideo.parallel.branches import apart
from wanvideo.parallel.picture import strips
from wanvideo.parallel.ranks import Ranks
from wanvideo.parallel.tokens import spread
from wanvideo.pipelines.adapt import adapt
from wanvideo.pipelines.architecture import architecture_of, work_of
from wanvideo.pipelines.base import VideoPipeline
from wanvideo.pipelines.clock import Clock
from wanvideo.pipelines.conditioning import Condition, Encode, covered, first_frame, fitted, known_frames
from wanvideo.pipelines.denoise import Embeddings, Sampling, Transformer, denoise, initial_noise, initial_state
from wanvideo.pipelines.device import limited_memory, pick_device, pick_dtype
from wanvideo.pipelines.events import Event, Frames, Planned, Resolved
from wanvideo.pipelines.memory import count_weights
from wanvideo.pipelines.parts import Parts
from wanvideo.pipelines.preview import LatentColours, fit_colours
from wanvideo.pipelines.size import Size
from wanvideo.pipelines.state import Checkpoint, fingerprint
from wanvideo.pipelines.transformers import FiniteLoras, Transformers
from wanvideo.request import Adjustment, GenerationRequest, ImageSource, LoraUse, Phase, ResolvedRequest, Tier
from wanvideo.runtime.calibration import load_calibration, usual_calibration_file
from wanvideo.runtime.cpu import fitting_threads
from wanvideo.runtime.fused_vae import decoder, encode
from wanvideo.runtime.hardware import this_machine
from wanvideo.runtime.machine import predict, together
from wanvideo.runtime.placement import MemoryPlan
from wanvideo.runtime.plan import plan
from wanvideo.runtime.tiling import decode_tiled, encode_tiled
from wanvideo.sampling.guidance import Expert
from wanvideo.weights.catalog import ModelSpec
from wanvideo.weights.folder import ModelFolder
from wanvideo.weights.loading import load_tokenizer
from wanvideo.weights.lora.library import LoraLibrary
from wanvideo.weights.tokenizer import PromptTokenizer, PromptTokens

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Run:
    """One video in the making."""

    request: ResolvedRequest
    tokens: PromptTokens  # of the prompt and the negative prompt
    sampling: Sampling
    image: Image | None
    end_image: Image | None
    previews: bool
    clock: Clock


class Pipeline(VideoPipeline):
    """Makes videos with one Wan model. Networks are read when they are first needed."""

    spec: ModelSpec

    def __init__(
        self,
        spec: ModelSpec,
        folder: ModelFolder,
        *,
        device: str | None = "auto",
        dtype: str | torch.dtype | None = None,
        vae_dtype: str | torch.dtype | None = None,
        tile: int | None = None,
        batch_guidance: bool = False,
        tier: Tier = Tier.EXACT,
        memory_limit: int | None = None,
        library: LoraLibrary | None = None,
        loras: Sequence[LoraUse] = (),
        ranks: Ranks | None = None,
    ) -> None:
        """`spec` is what `spec_of` says of `folder`, or a preset that runs with its files and with `loras`.

        library: as in `adapt`. ranks: this process among those that make the same videos with the same calls.
        The other arguments are those of `wanvideo.load`. Raises InvalidRequest for them.
        """
        self.spec = spec
        self.tile, self.batch_guidance = _cells(tile, folder), batch_guidance
        where = pick_device(device)
        self._parts = Parts(
            folder,
            device=where,
            dtype=pick_dtype(dtype, torch.bfloat16 if where.type == "cuda" else torch.float32),
            vae_dtype=pick_dtype(vae_dtype, torch.float32),
            tier=tier,
        )
        if tier is Tier.FAST and where.type == "cuda":
            _require_bfloat16(self._parts.dtype)
        self._vae_dtype = None if vae_dtype is None else str(self._parts.vae_dtype).removeprefix("torch.")
        self.tier, self.memory_limit = tier, memory_limit
        self._colours: LatentColours | None = None
        self._library, self._loras = library, tuple(loras)
        self._finite = FiniteLoras()
        self._ranks = ranks or Ranks.alone(where)

    @property
    def device(self) -> torch.device:
        return self._parts.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the transformers."""
        return self._parts.dtype

    def close(self) -> None:
        """Free all networks. They are read again if the pipeline is used again."""
        self._parts.free()

    def generate(
        self, request: GenerationRequest, *, resume: Checkpoint | None = None, previews: bool = False
    ) -> Generator[Event, None, None]:
        """Make a video step by step, as `VideoPipeline.generate` says.

        After every denoising step comes a `Checkpoint`, from which the rest can be repeated bit for bit on the CPU.
        `Frames` come as they are decoded.

        Raises InvalidRequest and its kinds at once; while it runs, the errors of models on disk, IncompatibleState,
        NonFiniteLatents and NotEnoughMemory.
        """
        if resume is not None and request.seed is None and isinstance(seed := resume.fingerprint.get("seed"), int):
            request = replace(request, seed=seed)
        adapted = adapt(self.spec, request, library=self._library, preset=self._loras)
        resolved = replace(self._finite.only(adapted, request.lora_policy), tier=self.tier)
        return self._driven(self._events(resolved, resume, previews))

    def _driven(self, events: Generator[Event, None, None]) -> Generator[Event, None, None]:
        """`events`, each made with as many threads as suit the model; the caller, in between, has its own."""
        weights = count_weights(self._parts.folder.transformers[0])
        with closing(events):
            while True:
                with fitting_threads(weights):
                    event = next(events, None)
                if event is None:
                    return
                yield event

    def _events(
        self, request: ResolvedRequest, resume: Checkpoint | None, previews: bool
    ) -> Generator[Event, None, None]:
        tokens = self._tokenizer.encode([request.prompt, request.negative_prompt])
        request = _with_cuts(request, tokens)
        yield Resolved(request=request)
        run = _Run(
            request=request,
            tokens=tokens,
            sampling=Sampling.of(request, self.spec.boundary, batch_guidance=self.batch_guidance),
            image=_picture(request.image),
            end_image=_picture(request.end_image),
            previews=previews,
            clock=Clock(),
        )
        plan = self._plan(request)
        if plan is not None and not plan.fits:
            raise _does_not_fit(plan, request)
        self._parts.arrange(plan)
        if plan is not None:
            yield Planned(plan=plan)
        try:
            with limited_memory(self.device, self.memory_limit):
                latents = yield from self._latents(run, resume)
                yield from self._decode(run, latents)
        except torch.OutOfMemoryError as error:
            phase = run.clock.phase
            raise NotEnoughMemory(
                f"the memory of {self.device} ran out in the phase {phase}: ask for a smaller size or fewer frames"
                + ("" if self.tile is not None or phase is not Phase.DECODE else ", or decode in tiles (tile=256)"),
                facts={"phase": phase, "width": request.width, "height": request.height, "frames": request.frames},
            ) from error
        finally:
            self._parts.leave()

    # --- phases: generators that yield events and return what they made ----------------------------------------------

    def _latents(self, run: _Run, resume: Checkpoint | None) -> Generator[Event, None, Tensor]:
        """Everything up to the clean latents [1, z, T, h, w]."""
        request, sampling = run.request, run.sampling
        shape = self._latent_shape(request)
        mark = fingerprint(request, sampling.schedule, run.image, run.end_image)
        if resume is not None:
            resume.require(mark, shape, sampling.schedule.steps)
            if resume.step == sampling.schedule.steps:
                yield run.clock.progress(Phase.DENOISE, resume.step, resume.step, reused=resume.state.reused)
                return resume.to(self.device).latents
        generator = torch.Generator().manual_seed(request.seed)
        noise = initial_noise(shape, generator).to(self.device)
        if self._parts.keep_all:
            networks = [self._parts.text_encoder, self._parts.vae]
            yield from self._load(run, *networks, *self._fetched(run))
        text = yield from self._encode_text(run)
        condition = yield from self._encode_images(run)
        yield from self._take_turn(run, *self._fetched(run))

        state = initial_state(noise, condition) if resume is None else resume.to(self.device)
        rng = generator.get_state() if resume is None else resume.rng
        steps = sampling.schedule.steps
        yield run.clock.progress(Phase.DENOISE, state.step, steps, reused=state.reused)
        with Transformers(self._parts, request.loras) as transformers:
            going = True
            while going:
                going = False
                try:
                    computed, both = self._computed(transformers, sampling), apart(self._ranks.work(guided=True))
                    for after in denoise(computed, sampling, text, condition, state, both):
                        expert = None if sampling.boundary is None else sampling.expert(after.step - 1).value
                        preview = self._colours.preview(after.outputs[-1]) if run.previews and self._colours else None
                        yield run.clock.progress(Phase.DENOISE, after.step, steps, expert, preview, after.reused)
                        yield Checkpoint(state=after, rng=rng, fingerprint=mark)
                        state = after
                except torch.OutOfMemoryError as error:
                    log.warning("memory ran out at step %d: %s", state.step + 1, str(error).partition(". ")[0])
                    transformers.let_go()
                    going = self._ranks.size == 1 and self._parts.shrink()
                    if not going:
                        raise
                if going and self._parts.plan is not None:
                    yield Planned(plan=self._parts.plan)
        return state.latents

    def _encode_text(self, run: _Run) -> Generator[Event, None, Embeddings]:
        yield from self._take_turn(run, self._parts.text_encoder)
        yield run.clock.progress(Phase.ENCODE, 0, _encode_steps(run))
        rows = 2 if run.sampling.guided else 1
        prompt, *negative = self._parts.encode_text(run.tokens.ids[:rows], run.tokens.mask[:rows]).split(1)
        _require_finite(prompt, "the text encoder")
        yield run.clock.progress(Phase.ENCODE, 1, _encode_steps(run))
        return Embeddings(prompt=prompt, negative=negative[0] if negative else None)

    def _encode_images(self, run: _Run) -> Generator[Event, None, Condition]:
        """Also fits the colours of previews, since both need the autoencoder."""
        wants_colours = run.previews and self._colours is None
        if run.image is None and not wants_colours:
            return Condition()
        yield from self._take_turn(run, self._parts.vae)
        encode = self._encode()
        if wants_colours:
            self._colours = fit_colours(encode, self._parts.folder.vae.config.spatial_stride)
        if run.image is None:
            return Condition()
        size = Size(run.request.width, run.request.height)
        if self.spec.image_in_latents:
            condition = first_frame(encode, covered(run.image, size))
        else:
            multiple = self.spec.limits.size_multiple
            last = None if run.end_image is None else fitted(run.end_image, size, multiple)
            condition = known_frames(encode, run.request.frames, fitted(run.image, size, multiple), last)
        yield run.clock.progress(Phase.ENCODE, 2, _encode_steps(run))
        return condition

    def _decode(self, run: _Run, latents: Tensor) -> Iterator[Event]:
        """Frames as they are decoded. If memory runs out, smaller tiles go on where larger ones have come to."""
        yield from self._take_turn(run, self._parts.vae)
        chunks = latents.shape[2]
        yield run.clock.progress(Phase.DECODE, 0, chunks)
        index = chunk = 0
        tiles = self._tiles()
        for tile in tiles:
            try:
                for number, part in enumerate(self._chunks(latents, tile)):
                    if number < chunk:
                        continue
                    _require_finite(part, "the autoencoder")
                    frames = to_rgb(part)
                    yield Frames(index=index, frames=frames)
                    index, chunk = index + len(frames), number + 1
                    yield run.clock.progress(Phase.DECODE, chunk, chunks)
                return
            except torch.OutOfMemoryError:
                if tile == tiles[-1] or self._ranks.size > 1:
                    raise
                log.warning("memory ran out while decoding, %s: trying again in smaller tiles", _in_tiles(tile))
            torch.cuda.empty_cache()

    def _chunks(self, latents: Tensor, tile: int | None) -> Iterator[Tensor]:
        """Of the autoencoder. tile: in latent cells."""
        vae, latents = self._parts.vae(), latents.to(self._parts.vae_device)
        if tile is None and self._ranks.size > 1 and latents.device == self.device:
            return strips(vae, self.device, self._ranks.work(guided=False).team)(latents)
        if tile is None:
            return decoder(vae, latents.device)(latents)
        return decode_tiled(vae, latents, tile=tile, stride=_stride(tile))

    def _tiles(self) -> list[int | None]:
        """What to decode in: as planned, and then what takes less and less memory."""
        planned = self.tile
        if planned is None and self._parts.plan is not None and self._parts.plan.vae.tile is not None:
            planned = _cells(self._parts.plan.vae.tile, self._parts.folder)
        if self._parts.vae_device.type == "cpu":
            return [planned]
        stride = self._parts.folder.vae.config.spatial_stride
        smaller = [pixels // stride for pixels in (512, 256, 128) if pixels >= 8 * stride]
        return [planned, *(cells for cells in smaller if planned is None or cells < planned)]

    def _load(self, run: _Run, *networks: Callable[[], object]) -> Iterator[Event]:
        yield run.clock.progress(Phase.LOAD, 0, len(networks))
        for done, network in enumerate(networks, start=1):
            network()
            if done == len(networks):
                self._ranks.meet()
            yield run.clock.progress(Phase.LOAD, done, len(networks))

    def _take_turn(self, run: _Run, *networks: Callable[[], object]) -> Iterator[Event]:
        """Load one network in the place of another, unless there is room for all and they were loaded at the start."""
        if not self._parts.keep_all:
            yield from self._load(run, *networks)

    # --- the parts ---------------------------------------------------------------------------------------------------

    @cached_property
    def _tokenizer(self) -> PromptTokenizer:
        return load_tokenizer(self._parts.folder)

    def _fetched(self, run: _Run) -> list[Callable[[], object]]:
        """What loads the transformers that this run needs, as far as that can be done beforehand."""
        return [partial(self._parts.fetch, expert) for expert in run.sampling.experts]

    def _computed(self, transformers: Transformers, sampling: Sampling) -> Callable[[Expert], Transformer]:
        """The transformers, computing in the tier of this pipeline."""
        backends = FAST if self.tier is Tier.FAST else EXACT

        def get(expert: Expert) -> Transformer:
            work = self._ranks.work(guided=sampling.scale(expert) != 1)
            network = spread(transformers.get(expert), work.team)

            def compute(x: Tensor, timestep: Tensor, text: Tensor) -> Tensor:
                with attention_backends(*backends):
                    return network(x, timestep, text)

            return compute

        return get

    def _encode(self) -> Encode:
        """The autoencoder's encoder, on its device, in tiles if that is asked for."""
        vae = self._parts.vae()
        tile, where = self._tiles()[0], self._parts.vae_device
        if tile is None:
            return lambda video: encode(vae, video.to(where)).to(self.device)
        stride = _stride(tile)
        return lambda video: encode_tiled(vae, video.to(where), tile=tile, stride=stride).to(self.device)

    def _latent_shape(self, request: ResolvedRequest) -> tuple[int, ...]:
        config = self._parts.folder.vae.config
        cells = config.spatial_stride
        return 1, config.z_dim, config.latent_frames(request.frames), request.height // cells, request.width // cells

    def _plan(self, request: ResolvedRequest) -> MemoryPlan | None:
        """Where everything goes; None where all of it stays on the device, as on a CPU."""
        if self.device.type == "cpu" or self._parts.dtype.itemsize != 2:
            return None
        machine = this_machine(str(self.device), self.memory_limit)
        free, available = self._ranks.least([machine.gpu_free, machine.host_available])
        machine = together(replace(machine, gpu_free=free, host_available=available), self._ranks.size)
        # Seconds are not what is asked for here: nothing has to be measured.
        rates = load_calibration(usual_calibration_file(), machine) or predict(machine)
        return plan(
            architecture_of(self._parts.folder, self.spec.base or self.spec.id),
            work_of(self.spec, request),
            machine,
            rates,
            tier=self.tier,
            vae_dtype=self._vae_dtype,
        )


def _require_bfloat16(dtype: torch.dtype) -> None:
    if dtype is not torch.bfloat16:
        raise InvalidRequest(f"tier fast computes in bfloat16 beside 8-bit numbers, not in {dtype}: leave dtype out")


def _does_not_fit(plan: MemoryPlan, request: ResolvedRequest) -> NotEnoughMemory:
    size = f"{request.width}x{request.height}, {request.frames} frames"
    if plan.remedy is not None:
        return NotEnoughMemory(
            f"{request.model} does not fit here: {'; '.join(plan.notes)}. {plan.remedy[0].upper()}{plan.remedy[1:]}",
            suggestions=(plan.remedy,),
            facts={"short_bytes": plan.short_bytes, "peak_bytes": plan.peak_bytes, "cap_bytes": plan.cap_bytes},
        )
    command = f"wan plan {request.model} --size {request.width}x{request.height} --frames {request.frames}"
    return NotEnoughMemory(
        f"{size} of {request.model} does not fit here, even block by block: {'; '.join(plan.notes)}. "
        f"Ask for a smaller size or fewer frames; `{command}` says what would fit",
        suggestions=(command,),
        facts={"short_bytes": plan.short_bytes, "peak_bytes": plan.peak_bytes, "cap_bytes": plan.cap_bytes},
    )


def _in_tiles(cells: int | None) -> str:
    return "the whole picture at once" if cells is None else f"in tiles of {cells} latent cells"


def to_rgb(video: Tensor) -> npt.NDArray[np.uint8]:
    """Frames [1, 3, n, H, W] in [-1, 1] -> uint8 [n, H, W, 3]. Truncates, as the official code does."""
    scaled = ((video[0] + 1) / 2 * 255).to(torch.uint8)
    return scaled.permute(1, 2, 3, 0).contiguous().cpu().numpy()


def _with_cuts(request: ResolvedRequest, tokens: PromptTokens) -> ResolvedRequest:
    """`request`, with an adjustment for each prompt that was too long to be read whole."""
    most = tokens.ids.shape[1]
    cuts = tuple(
        Adjustment(
            field=field,
            asked=f"{most + cut} tokens",
            used=f"{most} tokens",
            reason=f"the text encoder reads at most {most} tokens; the end is left out",
        )
        for field, cut in zip(("prompt", "negative_prompt"), tokens.cut, strict=True)
        if cut
    )
    return replace(request, adjustments=request.adjustments + cuts)


def _picture(source: "ImageSource | None") -> Image | None:
    return None if source is None else load_image(source)


def _encode_steps(run: _Run) -> int:
    return 1 if run.image is None else 2


def _require_finite(tensor: Tensor, what: str) -> None:
    if not bool(torch.isfinite(tensor).all()):
        raise NonFiniteLatents(
            f"{what} gave numbers that are not finite: check the model's files and get damaged ones again, "
            "or use dtype float32",
            suggestions=("dtype float32",),
        )


def _cells(tile: int | None, folder: ModelFolder) -> int | None:
    """The side of a tile in latent cells."""
    if tile is None:
        return None
    stride = folder.vae.config.spatial_stride
    if tile < 8 * stride:
        raise InvalidRequest(f"tile is {tile} pixels: use at least {8 * stride}, or leave it out to work without tiles")
    return tile // stride


def _stride(tile: int) -> int:
    """From one tile to the next: three quarters of a tile, so that a quarter overlaps."""
    return tile * 3 // 4
