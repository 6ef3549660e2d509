"""Measure what every lossy setting costs: `python -m benchmarks.quality --jobs 2`.

The demo models make the same clips, from the same captions and noise, once with every number computed in full (exact)
and once with each dial. Prints a Markdown table; exits with 1 if a dial that is recommended loses too much.

Each clip is kept as a line of JSON as soon as it is measured, and a run that was interrupted, or that asks for more,
goes on from there; clips of other weights or of another judge are made anew. Delete that file after a change to the
code that makes video.
"""

import argparse
import json
import math
import multiprocessing
import os
import platform
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

import wanvideo
from benchmarks.judge.judge import judge, psnr
from benchmarks.judge.outcome import version
from benchmarks.judge.scene import ATTRIBUTES
from benchmarks.judge.trials import SCENES, Given, Trial, trials
from benchmarks.similarity import ssim
from wanvideo.families.protocol import LoadOptions
from wanvideo.kernels.eight_bit import INT8
from wanvideo.pipelines.pipeline import Pipeline

MODELS: Final = ("t2v-A14B-demo", "ti2v-5B-demo")
POINT: Final = 0.01  # of the clips: what a recommended dial may lose


@dataclass(frozen=True, slots=True, kw_only=True)
class Dial:
    """One way to make a clip that is not exact."""

    name: str
    request: Mapping[str, Any] = field(default_factory=dict)  # fields of GenerationRequest
    load: Mapping[str, Any] = field(default_factory=dict)  # arguments of wanvideo.load
    kind: torch.dtype | None = None  # of 8-bit numbers, instead of what suits the device
    only_decode: bool = False  # it starts from the latents of the exact run
    models: tuple[str, ...] = MODELS
    most: int = SCENES  # clips, for what is slow
    recommended: bool = False


EXACT: Final = Dial(name="exact")
DIALS: Final = (
    Dial(name="fast", load={"tier": "fast"}),
    Dial(name="fast, in int8", load={"tier": "fast"}, kind=INT8),
    Dial(name="step cache 0.05", request={"step_cache": 0.05}, recommended=True),
    Dial(name="step cache 0.1", request={"step_cache": 0.1}),
    Dial(name="step cache 0.15", request={"step_cache": 0.15}),
    Dial(name="step cache 0.2", request={"step_cache": 0.2}),
    Dial(name="bfloat16", load={"dtype": "bfloat16"}, most=4),
    # On a CPU without instructions for it, convolutions in bfloat16 take a hundred times as long.
    Dial(name="autoencoder in bfloat16", load={"vae_dtype": "bfloat16"}, only_decode=True, most=1),
    # The least tile of the other model is as large as its clips.
    Dial(name="autoencoder in tiles", load={"tile": 64}, only_decode=True, models=("t2v-A14B-demo",)),
)

INTRODUCTION: Final = """\
# Quality of lossy settings

Made by `make quality`. The same clips, from the same captions and noise, are made exactly and with each setting, and
compared before they are written to a file, where compression would add its own errors.

- *computed*: share of the denoising steps for which the network is run; *time*: of denoising, by that of exact,
  the median, on a machine that may have had other things to do. Settings of the autoencoder begin with the latents of
  the exact clip.
- *PSNR* (dB, over all frames) and *SSIM* (luma, 11x11 Gaussian window of 1.5 pixels) to the exact clip: the median, and
  the least of all clips. Two clips may differ and both be good: a shape that is a little further along its way costs
  much here, and nothing in the next columns.
- *latents*: error of the last latents by the size of the exact ones (2-norms), the median and the most.
- *right*: clips in which the judge of `make judge` reads all that was asked for; *lost* and *won*: clips that are right
  only in the exact version, and only with the setting. Of n clips with none lost, it may still be a share of 3 / n that
  is lost of all (95 %).

Bold is what is recommended: it may lose a point of *right*, and `make quality` fails if it loses more. Demo models are
small and draw simple things; larger models may take a setting better or worse, and only the order of settings should
be expected to hold. A step cache decides by comparing numbers, so that another processor, or another number of threads,
may now and then decide otherwise about a step; on one machine the same seed and settings give the same video.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One clip with one dial, beside the exact one."""

    model: str
    version: str  # of weights and judge
    dial: str
    seed: int
    computed: float
    time: float  # of denoising, by that of the exact clip that was made just before
    psnr: float  # infinite where no pixel differs
    ssim: float
    latents: float
    right: bool

    @property
    def key(self) -> "Key":
        return self.model, self.version, self.dial, self.seed

    def to_json(self) -> str:
        """One line; JSON has no infinity."""
        return json.dumps(asdict(self) | ({"psnr": None} if math.isinf(self.psnr) else {}))

    @classmethod
    def from_json(cls, line: str) -> "Measured":
        """Raises ValueError if it is not a line that `to_json` made."""
        try:
            values = json.loads(line)
            return cls(**(values | ({"psnr": math.inf} if values["psnr"] is None else {})))
        except (TypeError, KeyError) as error:
            raise ValueError(f"not a measured clip ({error}): {line[:80]}") from error


Key: TypeAlias = tuple[str, str, str, int]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Clip:
    """What a run made."""

    frames: NDArray[np.uint8]
    checkpoint: wanvideo.Checkpoint  # the last
    computed: float
    denoise_seconds: float


def measure(trial: Trial, dials: Sequence[Dial], device: str = "cpu") -> list[Measured]:
    """The trial made exactly, and with each dial."""
    exact = make(trial, EXACT, device=device)
    clips = [(EXACT, exact)]
    clips += [(dial, make(trial, dial, exact.checkpoint if dial.only_decode else None, device)) for dial in dials]
    reference = exact.checkpoint.state.latents
    return [
        Measured(
            model=trial.model,
            version=version(trial.model),
            dial=dial.name,
            seed=trial.seed,
            computed=clip.computed,
            time=clip.denoise_seconds / exact.denoise_seconds,
            psnr=psnr(clip.frames, exact.frames),
            ssim=ssim(clip.frames, exact.frames),
            latents=float((clip.checkpoint.state.latents - reference).norm() / reference.norm()),
            right=_right(trial, clip.frames),
        )
        for dial, clip in clips
    ]


def make(trial: Trial, dial: Dial, resume: wanvideo.Checkpoint | None = None, device: str = "cpu") -> Clip:
    request = wanvideo.GenerationRequest(prompt=trial.scene.caption, seed=trial.seed, **dial.request)
    frames: list[NDArray[np.uint8]] = []
    checkpoint, reused, steps, seconds = resume, 0, 1, 0.0
    for event in _pipeline(trial.model, device, tuple(dial.load.items()), dial.kind).generate(request, resume=resume):
        match event:
            case wanvideo.Checkpoint():
                checkpoint = event
            case wanvideo.Frames():
                frames.append(event.frames)
            case wanvideo.Progress(phase=wanvideo.Phase.DENOISE):
                reused, steps, seconds = event.reused, event.steps, event.seconds
    assert checkpoint is not None
    return Clip(
        frames=np.concatenate(frames),
        checkpoint=checkpoint,
        computed=1 - reused / steps,
        denoise_seconds=seconds,
    )


@cache
def _pipeline(
    model: str, device: str, options: tuple[tuple[str, Any], ...], kind: torch.dtype | None
) -> wanvideo.VideoPipeline:
    usual = {"device": device} | ({"dtype": "float32"} if device == "cpu" else {})
    pipeline = wanvideo.load(model, **(usual | dict(options)))
    if kind is not None:
        assert isinstance(pipeline, Pipeline)
        pipeline._parts.kind = kind  # it has loaded nothing
    return pipeline


def _right(trial: Trial, frames: NDArray[np.uint8]) -> bool:
    reading = judge(frames)
    return all(getattr(reading, name) == getattr(trial.scene, name) for name in ATTRIBUTES)


# --- report ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """All clips of one model with one dial."""

    model: str
    dial: str
    clips: int
    computed: float
    time: float  # median
    psnr: tuple[float, float]  # median, worst
    ssim: tuple[float, float]
    latents: tuple[float, float]
    right: float
    lost: int
    won: int


def rows(measured: Sequence[Measured]) -> list[Row]:
    """By model and dial, in the order of the first of each."""
    groups: dict[tuple[str, str], list[Measured]] = {}
    for one in sorted(measured, key=lambda one: one.seed):
        groups.setdefault((one.model, one.dial), []).append(one)
    return [_row(model, dial, group, groups[model, EXACT.name]) for (model, dial), group in groups.items()]


def _row(model: str, dial: str, group: Sequence[Measured], exact: Sequence[Measured]) -> Row:
    before = {one.seed: one for one in exact}
    same = [before[one.seed] for one in group]
    return Row(
        model=model,
        dial=dial,
        clips=len(group),
        computed=statistics.fmean(one.computed for one in group),
        time=statistics.median(one.time for one in group),
        psnr=(statistics.median(one.psnr for one in group), min(one.psnr for one in group)),
        ssim=(statistics.median(one.ssim for one in group), min(one.ssim for one in group)),
        latents=(statistics.median(one.latents for one in group), max(one.latents for one in group)),
        right=statistics.fmean(one.right for one in group),
        lost=sum(old.right and not new.right for new, old in zip(group, same, strict=True)),
        won=sum(new.right and not old.right for new, old in zip(group, same, strict=True)),
    )


def too_lossy(table: Sequence[Row]) -> list[Row]:
    """Recommended dials that lose more than a point, won clips counted against lost ones."""
    recommended = {dial.name for dial in DIALS if dial.recommended}
    return [row for row in table if row.dial in recommended and (row.lost - row.won) / row.clips > POINT]


def markdown(table: Sequence[Row], about: str) -> str:
    """The whole report. about: how it was measured, in a sentence."""
    recommended = {dial.name for dial in DIALS if dial.recommended}
    columns = ["model", "setting", "clips", "computed", "time", "PSNR", "SSIM", "latents", "right", "lost", "won"]
    lines = [f"| {' | '.join(columns)} |", "|---|---|" + "---:|" * (len(columns) - 2)]
    for row in table:
        name = f"**{row.dial}**" if row.dial in recommended else row.dial
        cells = [row.model, name, str(row.clips), f"{row.computed:.0%}", f"{row.time:.0%}" if row.time else ""]
        if row.dial == EXACT.name:
            cells += ["", "", ""]
        else:
            cells += [_decibels(row.psnr), "{:.4f}, {:.4f}".format(*row.ssim), "{:.3f}, {:.3f}".format(*row.latents)]
        cells += [f"{row.right:.1%}", str(row.lost), str(row.won)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([INTRODUCTION, about, "", *lines, ""])


def _decibels(values: tuple[float, float]) -> str:
    return ", ".join("equal" if math.isinf(value) else f"{value:.1f}" for value in values)


# --- command line ----------------------------------------------------------------------------------------------------


def main() -> int:
    options = _options()
    models = options.model or MODELS
    dials = [_dial(name) for name in options.dial] if options.dial else list(DIALS)
    each = [trials(model, options.clips, seed=options.seed, given=Given.TEXT) for model in models]
    wanted = [trial for together in zip(*each, strict=True) for trial in together]
    keys = {(t.model, version(t.model), dial.name, t.seed) for t in wanted for dial in (EXACT, *_suited(t, dials))}
    known = {key: one for key, one in _known(options.json).items() if key in keys}
    _say(f"{len(keys)} clips, {len(known)} of them known from {options.json}")
    options.json.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with options.json.open("a", encoding="utf-8") as file:
        for outcome in _measure_all(wanted, dials, known, options.jobs, options.device):
            before = len(known)
            for one in outcome:
                known[one.key] = one
                file.write(f"{one.to_json()}\n")
            file.flush()
            _say(f"{len(known)}/{len(keys)}, {len(known) - before} more, {time.monotonic() - began:.0f} s")
    order = {dial.name: number for number, dial in enumerate((EXACT, *dials))}
    table = rows(sorted(known.values(), key=lambda one: (models.index(one.model), order[one.dial])))
    about = (
        f"Captions and seeds as in `make judge`, from seed {wanted[0].seed} on, the same in every row. "
        f"{_machine(options.device)}, PyTorch {torch.__version__}."
    )
    report = markdown(table, about)
    print(report)
    if options.report is not None:
        options.report.write_text(report, encoding="utf-8")
    return 1 if too_lossy(table) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument("--model", action="append", choices=MODELS, help="may be given more than once; default: all")
    parser.add_argument(
        "--dial",
        action="append",
        metavar="NAME",
        help=f"a tier, or one of {', '.join(dial.name for dial in DIALS)}; may be given more than once; default: these",
    )
    parser.add_argument("--clips", type=int, default=24, help="of each model (default: 24)")
    parser.add_argument("--seed", type=int, default=0, help="other seeds are other scenes and other noise (default: 0)")
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each (default: 1)")
    parser.add_argument("--device", default="cpu", help="cpu, where exact is float32, or cuda (default: %(default)s)")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the report there, too")
    parser.add_argument(
        "--json",
        type=Path,
        default=Path("build/quality.jsonl"),
        metavar="FILE",
        help="where clips are kept (default: %(default)s)",
    )
    options = parser.parse_args()
    if not 1 <= options.clips <= SCENES or options.jobs < 1 or options.seed < 0:
        parser.error(f"--clips must be 1 to {SCENES}, --jobs at least 1, --seed at least 0")
    known = {dial.name for dial in DIALS}
    unknown = [name for name in options.dial or () if name not in known]
    if unknown and "tier" not in {option.name for option in fields(LoadOptions)}:
        parser.error(f"--dial {unknown[0]}: there are {', '.join(known)}")
    return options


def _dial(name: str) -> Dial:
    """One of `DIALS`, else the tier of that name."""
    return next((dial for dial in DIALS if dial.name == name), Dial(name=name, load={"tier": name}))


def _suited(trial: Trial, dials: Sequence[Dial]) -> list[Dial]:
    """Those that mean something to the trial's model, and are quick enough for one of its number."""
    return [dial for dial in dials if trial.model in dial.models and trial.number < dial.most]


def _known(path: Path) -> dict[Key, Measured]:
    """What is in the file."""
    known = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            one = Measured.from_json(line)
        except ValueError as error:  # half a line, from a run that was killed or a disk that was full
            _say(f"left out: {error}")
        else:
            known[one.key] = one
    return known


def _measure_all(
    wanted: Sequence[Trial], dials: Sequence[Dial], known: Mapping[Key, Measured], jobs: int, device: str
) -> Iterator[list[Measured]]:
    """What is not known yet of each trial, as it gets ready."""
    todo = []
    for trial in wanted:
        made = {key[2] for key in known if key[0] == trial.model and key[3] == trial.seed}
        left = [dial for dial in _suited(trial, dials) if dial.name not in made]
        if left or EXACT.name not in made:
            todo.append((trial, left))
    fresh = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    with ProcessPoolExecutor(jobs, fresh, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        futures = [pool.submit(measure, trial, left, device) for trial, left in todo]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _machine(device: str) -> str:
    """The name of the GPU; or that of the processor, and how many there are."""
    if device != "cpu":
        return f"{torch.cuda.get_device_name(device)}, in bfloat16"
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return f"{name or platform.machine()}, {os.cpu_count()} cores, one thread a clip"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
