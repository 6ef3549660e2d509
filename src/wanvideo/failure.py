"""What went wrong with a job, in the one form in which it is stored, sent and shown. No torch.

Codes are stable: clients decide by them. The title says what happened in a few words, the message with its numbers;
each suggestion says what it does to the result, and carries the change that applies it, where there is one.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from wanvideo.errors import Fact, WanVideoError


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """Something to do about it."""

    text: str
    effect: str  # on the result
    change: Mapping[str, Any] | None = None  # of the job, as `jobs.queue.changed` takes it; {}: simply again

    def to_json(self) -> dict[str, Any]:
        return {"text": self.text, "effect": self.effect, "change": None if self.change is None else dict(self.change)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One failure."""

    category: str
    code: str
    title: str
    message: str
    phase: str | None = None
    model: str | None = None
    kept: str | None = None  # what need not be done again
    retryable: bool = False  # the same again may well work
    suggestions: tuple[Suggestion, ...] = ()
    facts: Mapping[str, Fact] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "category": self.category,
            "code": self.code,
            "title": self.title,
            "message": self.message,
            "phase": self.phase,
            "model": self.model,
            "kept": self.kept,
            "retryable": self.retryable,
            "suggestions": [suggestion.to_json() for suggestion in self.suggestions],
            "facts": dict(self.facts),
        }


AGAIN: Final = Suggestion(text="Try again", effect="the same video", change={})
SMALLER: Final = Suggestion(
    text="Make it smaller: 832x480", effect="a smaller video", change={"request": {"width": 832, "height": 480}}
)
SHORTER: Final = Suggestion(
    text="Make it shorter: 49 frames", effect="a shorter video", change={"request": {"frames": 49, "seconds": None}}
)
TILED: Final = Suggestion(
    text="Decode in tiles of 256 pixels", effect="hardly to be seen; slower", change={"tile": 256}
)
FAST: Final = Suggestion(
    text="Use the tier fast",
    effect="8-bit weights take half the memory; slightly another video",
    change={"tier": "fast"},
)
EXACT: Final = Suggestion(
    text="Use the tier exact", effect="products and attention in 16 bits; slower", change={"tier": "exact"}
)
SMALL_MODEL: Final = Suggestion(
    text="Use TI2V-5B", effect="another, smaller model with another video", change={"model": "ti2v-5B", "variant": None}
)
NO_LORAS: Final = Suggestion(
    text="Leave the LoRAs out", effect="the video without their style", change={"request": {"loras": None}}
)
DOWNLOAD: Final = Suggestion(
    text="Download the model again: what is there and in order is kept", effect="the same video afterwards"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """What there is to say about a code whatever the job."""

    category: str
    title: str
    retryable: bool = False
    suggestions: tuple[Suggestion, ...] = ()


_KINDS: Final[Mapping[str, _Kind]] = {
    # models
    "MODEL_MISSING": _Kind(category="model", title="The model is not here", suggestions=(DOWNLOAD,)),
    "MODEL_INCOMPLETE": _Kind(category="model", title="Files of the model are missing", suggestions=(DOWNLOAD,)),
    "MODEL_CORRUPT": _Kind(category="model", title="A file of the model is damaged", suggestions=(DOWNLOAD,)),
    "MODEL_ARCH_UNKNOWN": _Kind(
        category="model", title="The files are not those of the model", suggestions=(DOWNLOAD,)
    ),
    "MODEL_LOAD_FAILED": _Kind(category="model", title="The model could not be loaded", suggestions=(DOWNLOAD,)),
    "MODEL_UNKNOWN": _Kind(category="model", title="There is no such model"),
    "VARIANT_UNKNOWN": _Kind(category="model", title="The model has no such variant"),
    # memory
    "VRAM_PREFLIGHT": _Kind(
        category="vram", title="The video does not fit into GPU memory", suggestions=(SMALLER, SHORTER)
    ),
    "VRAM_OOM": _Kind(category="vram", title="GPU memory ran out", suggestions=(SMALLER, SHORTER)),
    "VRAM_OOM_LOAD": _Kind(category="vram", title="GPU memory ran out while the model was loaded", suggestions=(FAST,)),
    "VRAM_OOM_DENOISE": _Kind(
        category="vram", title="GPU memory ran out while denoising", suggestions=(SMALLER, SHORTER, FAST)
    ),
    "VRAM_OOM_VAE": _Kind(
        category="vram",
        title="GPU memory ran out while the video was decoded",
        retryable=True,
        suggestions=(TILED, SHORTER),
    ),
    "HOST_OOM": _Kind(category="vram", title="The computer's memory ran out", suggestions=(FAST, SHORTER)),
    # the GPU
    "CUDA_FATAL": _Kind(category="gpu", title="The GPU reported an error", retryable=True, suggestions=(AGAIN, EXACT)),
    "GPU_LOST": _Kind(category="gpu", title="The GPU is gone", retryable=True, suggestions=(AGAIN,)),
    "GPU_UNSUPPORTED": _Kind(category="gpu", title="The GPU cannot be used"),
    # computing
    "INFERENCE_NAN": _Kind(category="inference", title="The numbers got out of hand", suggestions=(EXACT, NO_LORAS)),
    "RANK_FAILED": _Kind(
        category="inference", title="One of the GPUs that made the video fell out", retryable=True, suggestions=(AGAIN,)
    ),
    "INFERENCE_FAILED": _Kind(
        category="inference", title="Making the video failed", retryable=True, suggestions=(AGAIN,)
    ),
    "STEP_TIMEOUT": _Kind(
        category="inference", title="A step took far too long", retryable=True, suggestions=(AGAIN, SMALLER)
    ),
    "STATE_INCOMPATIBLE": _Kind(
        category="inference", title="What was saved belongs to other settings", suggestions=(AGAIN,)
    ),
    # results
    "DISK_FULL": _Kind(category="output", title="The disk is full", retryable=True, suggestions=(AGAIN,)),
    "ENCODE_FAILED": _Kind(
        category="output", title="The video could not be encoded", retryable=True, suggestions=(AGAIN,)
    ),
    "OUTPUT_NOT_WRITABLE": _Kind(category="output", title="The video could not be written", retryable=True),
    # workers
    "WORKER_CRASH": _Kind(category="worker", title="The worker died", retryable=True, suggestions=(SHORTER, FAST)),
    "WORKER_HUNG": _Kind(category="worker", title="The worker hung", retryable=True, suggestions=(AGAIN,)),
    "WORKER_START": _Kind(category="worker", title="The worker does not start", retryable=True),
    "LORA_WRONG_BASE": _Kind(category="lora", title="The LoRA is for another model", suggestions=(NO_LORAS,)),
    "LORA_NOT_FOUND": _Kind(category="lora", title="The LoRA is not here", suggestions=(NO_LORAS,)),
    "LORA_CORRUPT": _Kind(category="lora", title="The file of the LoRA is damaged", suggestions=(NO_LORAS,)),
    "LORA_UNSAFE_FORMAT": _Kind(
        category="lora", title="The LoRA is a pickle, which is never opened", suggestions=(NO_LORAS,)
    ),
    "LORA_UNSUPPORTED": _Kind(category="lora", title="This kind of LoRA is not applied", suggestions=(NO_LORAS,)),
    "LORA_TOO_MANY": _Kind(category="lora", title="Too many LoRAs", suggestions=(NO_LORAS,)),
    "INPUT_IMAGE_BAD": _Kind(category="input", title="The picture cannot be read"),
    "INPUT_IMAGE_REQUIRED": _Kind(category="input", title="The model begins with a picture, and there is none"),
    "INPUT_IMAGE_NOT_TAKEN": _Kind(category="input", title="The model takes no such picture"),
    "INPUT_PROMPT": _Kind(category="input", title="The prompt cannot be used"),
    "INPUT_SIZE": _Kind(category="input", title="The size cannot be used"),
    "INPUT_FRAMES": _Kind(category="input", title="The length cannot be used"),
    "INPUT_RANGE": _Kind(category="input", title="A value cannot be used"),
    "CANCELLED_USER": _Kind(category="cancelled", title="Cancelled"),
}
CODES: Final = frozenset(_KINDS)

_OUT_OF_MEMORY: Final = {
    "load": "VRAM_OOM_LOAD", "encode": "VRAM_OOM_LOAD", "denoise": "VRAM_OOM_DENOISE", "decode": "VRAM_OOM_VAE",
}  # fmt: skip
_HAS_SMALLER: Final = ("t2v-A14B", "i2v-A14B")  # TI2V-5B takes what these take


def failure(
    code: str,
    message: str,
    *,
    phase: str | None = None,
    model: str | None = None,
    kept: str | None = None,
    facts: Mapping[str, Fact] | None = None,
    suggestions: Sequence[Suggestion] = (),
) -> Failure:
    """With what is known of its code; `suggestions` come before the usual ones."""
    kind = _KINDS.get(code, _Kind(category="server", title="Something failed", retryable=True, suggestions=(AGAIN,)))
    usual = [each for each in kind.suggestions if each.text not in {given.text for given in suggestions}]
    if model is not None and model.startswith(_HAS_SMALLER) and kind.category in ("vram", "model"):
        usual.append(SMALL_MODEL)
    if code == "VRAM_OOM_VAE" and kept:
        usual = [TILED, *(each for each in usual if each is not TILED)]
    return Failure(
        category=kind.category,
        code=code,
        title=kind.title,
        message=message,
        phase=phase,
        model=model,
        kept=kept,
        retryable=kind.retryable,
        suggestions=(*suggestions, *usual),
        facts=dict(facts or {}),
    )


def failure_of(
    error: BaseException,
    *,
    phase: str | None = None,
    model: str | None = None,
    kept: str | None = None,
    suggestions: Sequence[Suggestion] = (),
) -> Failure:
    """What an error means: by its kind and its code first, by its words last."""
    code, message, facts = _classified(error, phase)
    found = failure(code, message, phase=phase, model=model, kept=kept, facts=facts, suggestions=suggestions)
    if isinstance(error, WanVideoError) and error.code not in CODES:
        found = replace(found, category=error.category)
    said = () if not isinstance(error, WanVideoError) else error.suggestions
    have = {each.text for each in found.suggestions}
    extra = tuple(Suggestion(text=text, effect="see there") for text in said if text not in have)
    return replace(found, suggestions=(*found.suggestions, *extra))


def is_sticky(error: BaseException) -> bool:
    """Whether the process can never use its GPU again."""
    return _classified(error, None)[0] in ("CUDA_FATAL", "GPU_LOST")


def worker_lost(
    how: str, known: Mapping[str, Any], *, model: str | None = None, attempts: int = 3, kept: str | None = None
) -> Failure:
    """A worker that died ("crash") or said nothing any more ("hang"), as a supervisor knows it.

    known: "exitcode", negative for a signal; "phase", "step", "steps"; "still_seconds"; "vram_used", "rss".
    """
    phase, exitcode = known.get("phase"), known.get("exitcode")
    where = f" in {phase}" if phase else ""
    if known.get("steps"):
        where += f" (step {known.get('step', 0)} of {known['steps']})"
    memory = f"; it held {known['rss'] / 2**30:.1f} GiB of memory" if known.get("rss") else ""
    if how == "hang":
        still = known.get("still_seconds")
        message = f"the worker made no progress{where} for {still:.0f} s" if still else f"the worker hung{where}"
        return failure("WORKER_HUNG", message + memory, phase=phase, model=model, kept=kept)
    killed = exitcode == -9
    ending = f"signal {-exitcode}" if exitcode is not None and exitcode < 0 else f"code {exitcode}"
    why = ": the system kills what takes too much memory" if killed else ""
    message = f"the worker died {attempts} times with this job, last{where} ({ending}{why}){memory}"
    return failure("WORKER_CRASH", message, phase=phase, model=model, kept=kept)


# --- kinds of errors -------------------------------------------------------------------------------------------------

# What a driver says before a process is of no more use: cudaError_t 700, 710, 719 and their kin.
_FATAL: Final = re.compile(
    r"illegal memory access|device-side assert|unspecified launch failure|misaligned address|an illegal instruction|"
    r"hardware stack error|CUDNN_STATUS_EXECUTION_FAILED|CUBLAS_STATUS_EXECUTION_FAILED|uncorrectable ECC"
)
_LOST: Final = re.compile(
    r"GPU is lost|fallen off the bus|no CUDA-capable device|device\(s\) is/are busy or unavailable"
)


def _classified(error: BaseException, phase: str | None) -> tuple[str, str, Mapping[str, Fact]]:
    """Code, message and facts."""
    if isinstance(error, WanVideoError):
        code = error.code
        if code == "VRAM_OOM":
            planned = "needed_bytes" in error.facts or "short_bytes" in error.facts
            code = "VRAM_PREFLIGHT" if planned else _OUT_OF_MEMORY.get(phase or "", code)
        return code, error.message, error.facts
    text = str(error)
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if isinstance(error, MemoryError):
        return "HOST_OOM", "the computer has no more memory for this process", {}
    if "OutOfMemoryError" in kinds:
        return _OUT_OF_MEMORY.get(phase or "", "VRAM_OOM"), text.partition(". ")[0], {}
    if "AcceleratorError" in kinds or "CUDA" in text or "CUDNN" in text or "CUBLAS" in text:
        if _LOST.search(text):
            return "GPU_LOST", text.partition("\n")[0], {}
        if "AcceleratorError" in kinds or _FATAL.search(text):
            return "CUDA_FATAL", f"{text.partition(chr(10))[0]}: the worker is replaced", {}
    if isinstance(error, OSError) and error.errno == 28:
        return "DISK_FULL", "the disk is full: make room", {}
    kind = type(error).__name__
    return "INFERENCE_FAILED", f"{kind}: {text.partition(chr(10))[0]:.300}", {}


def texts(suggestions: Iterable[Suggestion]) -> list[str]:
    return [suggestion.text for suggestion in suggestions]
