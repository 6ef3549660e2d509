"""From an error, or from what a supervisor saw of a worker, to a failure."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from wanvideo.errors import Fact, ImageNotTaken, ImageRequired, UnknownModel, WanVideoError
from wanvideo.failure.advice import use_model
from wanvideo.failure.classify import code_of
from wanvideo.failure.kinds import KINDS, Kind
from wanvideo.failure.paths import facts_without_folders, without_folders
from wanvideo.failure.values import Asked, Failure, Suggestion

_LIVELY: Final = 10.0  # seconds without a heartbeat, below which a worker lives
_LONGEST: Final = 500  # characters of a message that is not ours

# Which part of a model a message speaks of, by the names of folders and of files in use.
_PARTS: Final = (
    ("low-noise expert", re.compile(r"\btransformer_2/|\blow[-_ ]?noise")),
    ("high-noise expert", re.compile(r"\bhigh[-_ ]?noise")),
    ("text encoder", re.compile(r"\btext_encoder/|umt5")),
    ("tokenizer", re.compile(r"\btokenizer")),
    ("autoencoder", re.compile(r"\bvae\b|_vae\b")),
    ("transformer", re.compile(r"\btransformer/")),
)


def failure(
    code: str,
    message: str,
    *,
    phase: str | None = None,
    model: str | None = None,
    kept: str | None = None,
    facts: Mapping[str, Fact] | None = None,
    suggestions: Sequence[Suggestion] = (),
    asked: Asked | None = None,
) -> Failure:
    """With what is known of its code. `suggestions` come before the usual ones that suit what was `asked`."""
    kind = KINDS.get(code) or Kind(category="server", title="Something failed", retryable=True)
    asked = asked or Asked(model=model)
    usual = (each for advice in kind.advice if (each := advice(asked)) is not None)
    return Failure(
        category=kind.category,
        code=code,
        title=kind.title,
        message=message,
        phase=phase,
        model=model,
        kept=kept,
        retryable=kind.retryable,
        suggestions=_distinct([*suggestions, *usual]),
        facts=dict(facts or {}),
    )


def failure_of(
    error: BaseException,
    *,
    phase: str | None = None,
    model: str | None = None,
    kept: str | None = None,
    suggestions: Sequence[Suggestion] = (),
    asked: Asked | None = None,
    folders: Iterable[Path] = (),
) -> Failure:
    """What an error means.

    phase, model, kept: how far it came, with what, and what need not be done again.
    suggestions: those that were worked out for this one, which come first.
    folders: whose paths are cut out of what is said; of other paths, the file is left.
    """
    folders = tuple(folders)
    code = code_of(error, phase)
    message = without_folders(_said(error), folders)
    facts = facts_without_folders(error.facts if isinstance(error, WanVideoError) else {}, folders)
    number = getattr(error, "error_code", None)
    if isinstance(number, int):
        facts["cuda_error"] = number
        message = f"{message} (CUDA error {number})"
    kind = KINDS.get(code)
    if kind is not None and kind.category == "model" and (part := _part(message, model)) is not None:
        facts["part"] = part
        message = f"the {part} of {model or 'the model'} cannot be used: {message}"
    found = failure(
        code, message, phase=phase, model=model, kept=kept, facts=facts, asked=asked,
        suggestions=[*suggestions, *_suggested_by(error, folders)],
    )  # fmt: skip
    if code not in KINDS and isinstance(error, WanVideoError):  # a family's own
        found = replace(found, category=error.category)
    return found


def worker_lost(
    how: str,
    known: Mapping[str, Any],
    *,
    model: str | None = None,
    attempts: int = 3,
    kept: str | None = None,
    asked: Asked | None = None,
) -> Failure:
    """A worker that died ("crash") or came no further ("hang"), as a supervisor knows it.

    known, as far as it is: "exitcode", negative for a signal; "phase", "step", "steps"; seconds "still_seconds" without
    progress, "silent_seconds" without a word, "seconds_per_step" until then; bytes "vram_used" and "rss"; "kept_step"
    of "kept_steps", what was saved last.
    """
    phase, steps = known.get("phase"), known.get("steps")
    if kept is None and known.get("kept_step"):
        kept = f"{known['kept_step']} of {known['kept_steps']} steps are kept"
    where = f" in {phase}" if phase else ""
    if steps:
        where += f" (step {known.get('step', 0)} of {steps})"
    names = ("exitcode", "step", "steps", "rss", "vram_used", "still_seconds", "seconds_per_step")
    facts = {name: known[name] for name in names if isinstance(known.get(name), int | float)}
    code, message = _hung(known, where) if how == "hang" else _died(known, where, attempts)
    memory = f"; it held {known['rss'] / 2**30:.1f} GiB of memory" if known.get("rss") else ""
    return failure(code, message + memory, phase=phase, model=model, kept=kept, facts=facts, asked=asked)


# --- what is said ----------------------------------------------------------------------------------------------------


def _hung(known: Mapping[str, Any], where: str) -> tuple[str, str]:
    still, usual = known.get("still_seconds"), known.get("seconds_per_step")
    lives = known.get("silent_seconds", _LIVELY) < _LIVELY
    if still and lives and known.get("phase") == "denoise":
        than = f", and those before it {usual:.1f} s each" if usual else ""
        return "STEP_TIMEOUT", (
            f"a step took more than {still:.0f} s{where}{than}: the GPU is busy with something else, or its memory is "
            "full and the driver moves some of it to the computer's"
        )
    return (
        "WORKER_HUNG",
        f"the worker made no progress{where} for {still:.0f} s" if still else f"the worker hung{where}",
    )


def _died(known: Mapping[str, Any], where: str, attempts: int) -> tuple[str, str]:
    exitcode = known.get("exitcode")
    ending = f"signal {-exitcode}" if exitcode is not None and exitcode < 0 else f"code {exitcode}"
    why = ": the system kills what takes too much memory" if exitcode == -9 else ""
    return "WORKER_CRASH", f"the worker died {attempts} times with this job, last{where} ({ending}{why})"


def _said(error: BaseException) -> str:
    """The message of an error in one line."""
    if isinstance(error, WanVideoError):
        return error.message
    text = str(error).partition("\n")[0].strip()[:_LONGEST]
    if isinstance(error, MemoryError):
        return "the computer has no more memory for this process" + (f": {text}" if text else "")
    if isinstance(error, ModuleNotFoundError) and error.name is not None:
        return f"{error.name} is not installed: pip install 'wanvideo[engine]'"
    kind = type(error).__name__
    return f"{kind}: {text}" if text else kind


def _part(message: str, model: str | None) -> str | None:
    found = next((part for part, words in _PARTS if words.search(message)), None)
    if found == "transformer" and model is not None and "A14B" in model:
        return "high-noise expert"
    return found


def _suggested_by(error: BaseException, folders: tuple[Path, ...]) -> Iterator[Suggestion]:
    """What an error proposes itself: names of models, or commands."""
    if not isinstance(error, WanVideoError):
        return
    for said in error.suggestions:
        if isinstance(error, UnknownModel | ImageNotTaken | ImageRequired):
            yield use_model(said, "made with that model", "named_model")
        elif said.startswith("wan "):
            command = without_folders(said, folders)
            effect = "nothing is changed by itself"
            yield Suggestion(text=f"Run `{command}`", effect=effect, code="run_command", values={"command": command})


def _distinct(suggestions: Iterable[Suggestion]) -> tuple[Suggestion, ...]:
    """Each text once, the first one."""
    found: dict[str, Suggestion] = {}
    for each in suggestions:
        found.setdefault(each.text, each)
    return tuple(found.values())
