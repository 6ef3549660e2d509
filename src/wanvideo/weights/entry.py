"""What there is to know about a model of any family: what it takes, makes, needs, and where it comes from. No torch."""

from dataclasses import dataclass

from wanvideo.request import Solver, Task
from wanvideo.weights.variants import PresetLora, Variant


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What a request gets that does not say otherwise."""

    width: int  # pixels; with an image, only the area counts
    height: int
    frames: int
    fps: int
    steps: int
    shift: float
    guidance_high: float  # of the high-noise expert, or of the only transformer
    guidance_low: float
    negative_prompt: str = ""
    solver: Solver = Solver.UNIPC
    sigmas: tuple[float, ...] | None = (
        None  # noise levels instead of `steps` and `shift`, while none of them is asked for
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What is legal. Frames are always 4 n + 1; the frame rate is the one the model was trained with."""

    size_multiple: int  # of width and height: the VAE's stride times the transformer's patch
    max_area: int  # pixels; the largest that the model was trained on
    max_frames: int  # twice the length that the model was trained on; beyond that, clips fall apart
    min_side: int = 64  # pixels
    max_steps: int = 1000  # the number of timesteps that the models were trained on
    max_guidance: float = 100.0
    min_shift: float = 0.01
    max_shift: float = 100.0
    max_step_cache: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """One model of a catalog: all its parts, experts included, under one name."""

    id: str
    title: str
    family: str
    aliases: tuple[str, ...] = ()  # other names in use; case and separators do not count
    tasks: frozenset[Task]
    experts: int = 1  # transformers that share the denoising
    defaults: Defaults
    limits: Limits
    usual_sizes: tuple[tuple[int, int], ...] = ()  # width and height in pixels that the model was trained for
    takes_end_image: bool = False
    image_in_latents: bool = False  # a first frame replaces the first latent, which gets timestep 0
    takes_loras: bool = False
    repo_id: str | None = None  # where the weights are published; None: they come with the package
    variants: tuple[Variant, ...] = ()  # what can be downloaded, the best first
    base: str | None = None  # id of the model whose files a preset runs with
    loras: tuple[PresetLora, ...] = ()  # that the preset adds to them
    licence: str
    good_at: str
    needs: str
    # Where no model is named, the highest rank that takes the inputs, is on disk and fits is used; 0: only by name.
    rank: int = 0
    demo: bool = False

    @property
    def takes_image(self) -> bool:
        """A first frame may be given."""
        return Task.IMAGE_TO_VIDEO in self.tasks

    @property
    def requires_image(self) -> bool:
        return self.takes_image and Task.TEXT_TO_VIDEO not in self.tasks
