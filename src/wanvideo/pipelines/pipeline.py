"""One model, ready to make videos: text encoder, transformers and autoencoder, from request to frames."""

import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial

import torch
from PIL.Image import Image
from torch import Tensor

from wanvideo.errors import InvalidRequest
from wanvideo.kernels.attention import EXACT, FAST, attention_backends
from wanvideo.media.image import load_image
from wanvideo.parallel.branches import apart
from wanvideo.parallel.ranks import Ranks
from wanvideo.parallel.tokens import spread
from wanvideo.pipelines.adapt import adapt
from wanvideo.pipelines.alternatives import alternatives_to
from wanvideo.pipelines.architecture import architecture_of, work_of
from wanvideo.pipelines.arrival import require_finite
from wanvideo.pipelines.autoencoder import Autoencoder
from wanvideo.pipelines.base import VideoPipeline
from wanvideo.pipelines.clock import Clock
from wanvideo.pipelines.conditioning import Condition, covered, fitted, grey_between, known_frames
from wanvideo.pipelines.denoise import Embeddings, Sampling, Transformer, denoise, initial_noise, initial_state
from wanvideo.pipelines.device import float32_sums, limited_memory, pick_device, pick_dtype, usual_dtype
from wanvideo.pipelines.events import Adjusted, Event, Frames, Planned, Resolved
from wanvideo.pipelines.memory import count_weights
from wanvideo.pipelines.parts import Parts
from wanvideo.pipelines.preview import LatentColours, colour_pattern, fit_colours
from wanvideo.pipelines.shortage import Remedy, does_not_fit, ran_out
from wanvideo.pipelines.size import Size
from wanvideo.pipelines.state import Checkpoint, fingerprint
from wanvideo.pipelines.transformers import FiniteLoras, Transformers
from wanvideo.request import Adjustment, GenerationRequest, ImageSource, LoraUse, Phase, ResolvedRequest, Tier
from wanvideo.runtime.architecture import Work
from wanvideo.runtime.calibration import load_calibration, usual_calibration_file
from wanvideo.runtime.cpu import fitting_threads
from wanvideo.runtime.hardware import this_machine
from wanvideo.runtime.machine import Machine, predict, together
from wanvideo.runtime.placement import MemoryPlan
from wanvideo.runtime.plan import plan
from wanvideo.runtime.tiles import Tiling
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
        self.tiles, self.batch_guidance = _tiles(tile, folder), batch_guidance
        where = pick_device(device)
        self._ranks = ranks or Ranks.alone(where)
        self._parts = Parts(
            folder,
            device=where,
            dtype=pick_dtype(dtype, usual_dtype(where)),
            vae_dtype=pick_dtype(vae_dtype, torch.float32),
            tier=tier,
            host_memory=self._ranks.host_memory,
        )
        if tier is Tier.FAST and where.type == "cuda":
            _require_16_bits(self._parts.dtype)
        self._vae_dtype = None if vae_dtype is None else str(self._parts.vae_dtype).removeprefix("torch.")
        self.tier, self.memory_limit = tier, memory_limit
        self._colours: LatentColours | None = None
        self._library, self._loras = library, tuple(loras)
        self._finite = FiniteLoras()

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
        machine = self._machine()
        plan = self._plan(request, machine)
        if plan is not None and not plan.fits:
            raise does_not_fit(plan, request, list(self._remedies(request, machine)))
        self._parts.arrange(plan)
        if plan is not None:
            yield Planned(plan=plan)
        try:
            with limited_memory(self.device, self.memory_limit), float32_sums(self.dtype):
                latents = yield from self._latents(run, resume)
                yield from self._decode(run, latents)
        except torch.OutOfMemoryError as error:
            assert run.clock.phase is not None
            remedies = list(self._remedies(request, machine))
            raise ran_out(run.clock.phase, request, self._parts.plan, self.device, error, remedies) from error
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
            networks: list[Callable[[], object]] = [self._parts.text_encoder, self._parts.vae]
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
        steps = self._encode_steps(run)
        yield run.clock.progress(Phase.ENCODE, 0, steps)
        rows = 2 if run.sampling.guided else 1
        prompt, *negative = self._parts.encode_text(run.tokens.ids[:rows], run.tokens.mask[:rows]).split(1)
        require_finite(bool(torch.isfinite(prompt).all()), "the text encoder")
        yield run.clock.progress(Phase.ENCODE, 1, steps)
        return Embeddings(prompt=prompt, negative=negative[0] if negative else None)

    def _encode_images(self, run: _Run) -> Generator[Event, None, Condition]:
        """Also fits the colours of previews, since both need the autoencoder."""
        wants_colours = run.previews and self._colours is None
        if run.image is None and not wants_colours:
            return Condition()
        yield from self._take_turn(run, self._try_vae)
        if wants_colours:
            pattern = colour_pattern(self._parts.folder.vae.config.spatial_stride)
            self._colours = fit_colours(pattern, (yield from self._encode(run, pattern, counted=False)))
        return Condition() if run.image is None else (yield from self._condition(run, run.image))

    def _condition(self, run: _Run, image: Image) -> Generator[Event, None, Condition]:
        frames, multiple = run.request.frames, self.spec.limits.size_multiple
        size = Size(run.request.width, run.request.height)
        if self.spec.image_in_latents:
            first = covered(image, size).unsqueeze(2)
            return Condition(first_latent=(yield from self._encode(run, first, counted=True)))
        last = None if run.end_image is None else fitted(run.end_image, size, multiple)
        video = grey_between(frames, fitted(image, size, multiple), last)
        latents = yield from self._encode(run, video, counted=True)
        return known_frames(latents, frames, last=last is not None)

    def _encode(self, run: _Run, video: Tensor, *, counted: bool) -> Generator[Event, None, Tensor]:
        """[1, 3, F, H, W] in [-1, 1] -> normalised latents [1, z, T, h, w]. counted: its steps follow the text's."""
        latents = None
        for made in self._autoencoder().encode(video):
            if isinstance(made, Adjustment):
                yield Adjusted(adjustment=made)
                continue
            latents = made.latents
            if counted:
                yield run.clock.progress(Phase.ENCODE, 1 + made.step, 1 + made.steps)
        assert latents is not None
        return latents

    def _encode_steps(self, run: _Run) -> int:
        """Of the text encoder, and of the autoencoder as planned."""
        if run.image is None:
            return 1
        return 1 + self._autoencoder().encode_steps(run.request.height, run.request.width)

    def _decode(self, run: _Run, latents: Tensor) -> Iterator[Event]:
        """Frames as they are decoded."""
        yield from self._take_turn(run, self._try_vae)
        index = 0
        for made in self._autoencoder().decode(latents):
            if isinstance(made, Adjustment):
                yield Adjusted(adjustment=made)
                continue
            if made.frames is not None:
                yield Frames(index=index, frames=made.frames)
                index += len(made.frames)
            yield run.clock.progress(Phase.DECODE, made.step, made.steps)

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

    def _autoencoder(self) -> Autoencoder:
        return Autoencoder(self._parts, self.tiles, self._ranks)

    def _try_vae(self) -> None:
        """Load the autoencoder. If memory runs out here, it will again where it is used, and there much can be done."""
        with suppress(torch.OutOfMemoryError):
            self._parts.vae()

    def _fetched(self, run: _Run) -> list[Callable[[], object]]:
        """What loads the transformers that this run needs, as far as that can be done beforehand."""
        return [partial(self._parts.fetch, expert) for expert in run.sampling.experts]

    def _computed(self, transformers: Transformers, sampling: Sampling) -> Callable[[Expert], Transformer]:
        """The transformers, computing in the tier of this pipeline."""
        backends = FAST if self.tier is Tier.FAST else EXACT

        def get(expert: Expert) -> Transformer:
            work = self._ranks.work(guided=sampling.scale(expert) != 1)
            new = not transformers.has(expert)
            network = spread(transformers.get(expert), work.team)
            if new:
                self._ranks.meet()

            def compute(x: Tensor, timestep: Tensor, text: Tensor) -> Tensor:
                with attention_backends(*backends):
                    return network(x, timestep, text)

            return compute

        return get

    def _latent_shape(self, request: ResolvedRequest) -> tuple[int, ...]:
        config = self._parts.folder.vae.config
        cells = config.spatial_stride
        return 1, config.z_dim, config.latent_frames(request.frames), request.height // cells, request.width // cells

    def _machine(self) -> Machine | None:
        """What there is now, the least of all ranks; None where nothing is planned, as on a CPU."""
        if self.device.type == "cpu" or self._parts.dtype.itemsize != 2:
            return None
        machine = this_machine(str(self.device), self.memory_limit)
        # What waits in host memory already is there for the plan.
        available = machine.host_available + self._parts.host_bytes
        free, available = self._ranks.least([machine.gpu_free, available])
        return together(replace(machine, gpu_free=free, host_available=available), self._ranks.size)

    def _plan(self, request: ResolvedRequest, machine: Machine | None) -> MemoryPlan | None:
        """Where everything goes; None where all of it stays on the device."""
        return None if machine is None else self._plan_for(work_of(self.spec, request), self.tier, machine)

    def _plan_for(self, work: Work, tier: Tier, machine: Machine) -> MemoryPlan:
        # Seconds are not what is asked for here: nothing has to be measured.
        rates = load_calibration(usual_calibration_file(), machine) or predict(machine)
        return plan(
            architecture_of(self._parts.folder, self.spec.base or self.spec.id),
            work,
            machine,
            rates,
            tier=tier,
            vae_dtype=self._vae_dtype,
        )

    def _remedies(self, request: ResolvedRequest, machine: Machine | None) -> Iterator[Remedy]:
        """What else could be asked for, with what that takes where it can be planned. Waits for no other rank."""
        work = work_of(self.spec, request)
        for change, other, tier in alternatives_to(self.spec, work, self.tier, on_gpu=self.device.type == "cuda"):
            yield Remedy(change=change, plan=None if machine is None else self._plan_for(other, tier, machine))


def _require_16_bits(dtype: torch.dtype) -> None:
    if dtype.itemsize != 2:
        raise InvalidRequest(f"tier fast computes in 16 bits beside 8-bit numbers, not in {dtype}: leave dtype out")


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


def _tiles(tile: int | None, folder: ModelFolder) -> Tiling | None:
    """Squares of `tile` pixels."""
    if tile is None:
        return None
    cell = folder.vae.config.spatial_stride
    if tile < 8 * cell:
        raise InvalidRequest(f"tile is {tile} pixels: use at least {8 * cell}, or leave it out to work without tiles")
    return Tiling.square(tile, cell)
