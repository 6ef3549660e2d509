"""Measure the demo LoRA: `python -m benchmarks.judge.lora --jobs 2`.

The same scenes with the same noise are made at several strengths. How far a shape slants is read from the
finished file; then it is put upright, and all else is read as of any other clip.
Prints a Markdown table. Exits with 1 if a goal is missed.
"""

import argparse
import multiprocessing
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, TypeAlias

import numpy as np
import torch

from benchmarks.judge.judge import Reading, judge, score
from benchmarks.judge.outcome import make_clip
from benchmarks.judge.scene import Scene
from benchmarks.judge.style import STYLES, slant, straightened, style
from benchmarks.judge.trials import Given, Trial, trials
from wanvideo.request import LoraUse

MODEL: Final = "t2v-A14B-demo"
LORA: Final = "slanted"
STRENGTHS: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
KEPT: Final = ("background", "colour", "shape", "motion", "size")
STYLE_GOAL: Final = 0.95  # share of clips that are upright without it, and slanted with it
KEPT_GOALS: Final = {"background": 0.95, "colour": 0.9, "shape": 0.9, "motion": 0.9}  # at strength 1

INTRODUCTION: Final = """\
# Quality of the demo LoRA

Made by `make judge-lora`: `slanted` on t2v-A14B-demo, the same scenes and noise at each strength. Slant is how far the
top of a shape is moved to the right of its foot, by its height. Background, colour, shape, motion and size are read
after the shape was put upright.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one clip shows."""

    scene: Scene
    slant: float | None
    reading: Reading  # of the clip with its shape put upright

    @property
    def style(self) -> str | None:
        return style(self.slant)


Looks: TypeAlias = Mapping[float, Sequence[Look]]  # by strength


def look(trial: Trial, strength: float, lora: str = LORA) -> Look:
    """Make a clip with the product, and read it back from its file."""
    with TemporaryDirectory(prefix="judge-") as scratch:
        frames = make_clip(trial, Path(scratch) / "clip.mp4", loras=(LoraUse(source=lora, strength=strength),))
    return Look(scene=trial.scene, slant=slant(frames), reading=judge(straightened(frames)))


def mean_slant(looks: Sequence[Look]) -> float:
    """Over the clips in which anything is seen; 0 if there is none."""
    seen = [look.slant for look in looks if look.slant is not None]
    return float(np.mean(seen)) if seen else 0.0


def share(looks: Sequence[Look], word: str) -> float:
    return sum(look.style == word for look in looks) / len(looks)


def kept(looks: Sequence[Look]) -> dict[str, float]:
    """The share of clips that show what was asked for, by attribute."""
    return score([look.reading for look in looks], [look.scene for look in looks])


def missed(looks: Looks) -> Iterator[str]:
    """The goals that were not reached, in words."""
    weakest, strongest = min(looks), max(looks)
    for strength, word in ((weakest, "upright"), (strongest, "slanted")):
        if (reached := share(looks[strength], word)) < STYLE_GOAL:
            yield f"at strength {strength:g}, {reached:.1%} are {word}, not {STYLE_GOAL:.0%}"
    rising = [mean_slant(looks[strength]) for strength in sorted(looks)]
    if any(later <= earlier for earlier, later in pairwise(rising)):
        yield f"the slant does not rise with the strength: {', '.join(f'{value:z.2f}' for value in rising)}"
    shares = kept(looks[strongest])
    for name, goal in KEPT_GOALS.items():
        if shares[name] < goal:
            yield f"at strength {strongest:g}, {shares[name]:.1%} have the right {name}, not {goal:.0%}"


def markdown(looks: Looks) -> str:
    """The whole report."""
    columns = ["strength", "clips", *STYLES, "slant", *KEPT]
    table = [f"| {' | '.join(columns)} |", f"|{'---:|' * len(columns)}"]
    for strength in sorted(looks):
        group = looks[strength]
        shares = kept(group)
        cells = [f"{strength:g}", str(len(group))]
        cells += [f"{share(group, word):.1%}" for word in STYLES]
        cells += [f"{mean_slant(group):z.2f}", *(f"{shares[name]:.1%}" for name in KEPT)]
        table.append(f"| {' | '.join(cells)} |")
    verdict = [f"- missed: {text}" for text in missed(looks)] or ["All goals are met."]
    return "\n".join([INTRODUCTION, *table, "", *verdict, ""])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.judge.lora", description=__doc__)
    parser.add_argument("--lora", default=LORA, help="a name of the library, or a path (default: %(default)s)")
    parser.add_argument("--prompts", type=int, default=40, help="clips at each strength (default: 40)")
    parser.add_argument("--strength", type=float, action="append", help="may be given more than once")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="processes, which share the CPU's cores (default: 1)")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the report there, too")
    options = parser.parse_args()
    wanted = list(trials(MODEL, options.prompts, seed=options.seed, given=Given.TEXT))
    looks: dict[float, list[Look]] = {}
    threads = max(1, torch.get_num_threads() // options.jobs)
    fresh = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    with ProcessPoolExecutor(options.jobs, fresh, initializer=torch.set_num_threads, initargs=(threads,)) as pool:
        for strength in options.strength or STRENGTHS:
            count = len(wanted)
            looks[strength] = list(pool.map(look, wanted, [strength] * count, [options.lora] * count))
            print(f"strength {strength:g}: {mean_slant(looks[strength]):.2f} slant", file=sys.stderr, flush=True)
    report = markdown(looks)
    print(report)
    if options.report is not None:
        options.report.write_text(report, encoding="utf-8")
    return 1 if any(missed(looks)) else 0


if __name__ == "__main__":
    sys.exit(main())
