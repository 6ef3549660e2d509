"""Outcomes -> a table of what was measured against the goals, in Markdown."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from benchmarks.judge.judge import score
from benchmarks.judge.outcome import Outcome
from benchmarks.judge.scene import ATTRIBUTES
from benchmarks.judge.trials import Given, Trial

Results: TypeAlias = Mapping[Trial, Outcome]

TEXT_GOALS: Final = {"background": 0.98, "colour": 0.98, "motion": 0.98, "shape": 0.97}
MOTION_GOAL: Final = 0.95  # where an image is given
FIRST_FRAME_GOAL: Final = 26.0  # dB
AUTOENCODER_GOAL: Final = 30.0

INTRODUCTION: Final = """\
# Quality of the demo models

Made by `make judge`. The product makes each clip with its default settings from a caption, or from a caption and
images, with a seed of its own, and writes an MP4 file. From the frames of that file alone a judge (`benchmarks/judge`)
reads what they show. What it cannot tell counts as wrong. Images are frames of drawn clips. PSNR is between the drawn
frame and that of the file; for the autoencoder alone, between drawn clips and their reconstruction.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One thing that was measured, and whether it is as good as it has to be; `met` is None where there is no goal."""

    model: str
    given: str
    clips: int
    what: str
    result: str
    goal: str = ""
    met: bool | None = None


def rows(results: Results) -> list[Row]:
    """The table, grouped by model and by what was given, both in the order of the trials."""
    groups: dict[tuple[str, Given], dict[Trial, Outcome]] = {}
    for trial, outcome in results.items():
        # What is said about the first frame and the motion holds with and without a last frame.
        given = Given.IMAGE if trial.given is Given.IMAGES else trial.given
        groups.setdefault((trial.model, given), {})[trial] = outcome
    return [row for (model, given), group in groups.items() for row in _GROUP_ROWS[given](model, group)]


def markdown(results: Results) -> str:
    """The whole report."""
    table = ["| model | given | clips | measured | result | goal | |", "|---|---|---:|---|---:|---:|---|"]
    for row in rows(results):
        verdict = {True: "met", False: "**missed**", None: ""}[row.met]
        table.append(
            f"| {row.model} | {row.given} | {row.clips} | {row.what} | {row.result} | {row.goal} | {verdict} |"
        )
    return "\n".join([INTRODUCTION, *table, "", *_misses(results)])


def _text_rows(model: str, group: Results) -> Iterator[Row]:
    shares = _shares(group)
    for name in (*TEXT_GOALS, "size", "all"):
        what = "everything" if name == "all" else name
        yield _share_row(model, Given.TEXT, len(group), what, shares[name], TEXT_GOALS.get(name))
    yield _time_row(model, Given.TEXT, group)


def _image_rows(model: str, group: Results) -> Iterator[Row]:
    shares = _shares(group)
    yield from _decibel_rows(model, Given.IMAGE, "first frame", _decibels(group, "first"), FIRST_FRAME_GOAL)
    yield _share_row(model, Given.IMAGE, len(group), "motion", shares["motion"], MOTION_GOAL)
    for name in ("background", "colour", "shape"):
        yield _share_row(model, Given.IMAGE, len(group), name, shares[name], None)
    yield _time_row(model, Given.IMAGE, group)
    both = {trial: outcome for trial, outcome in group.items() if trial.given is Given.IMAGES}
    if both:
        yield from _decibel_rows(model, Given.IMAGES, "last frame", _decibels(both, "last"), None)
        yield _share_row(model, Given.IMAGES, len(both), "motion", _shares(both)["motion"], None)


def _autoencoder_rows(model: str, group: Results) -> Iterator[Row]:
    yield from _decibel_rows(model, Given.CLIP, "reconstruction", _decibels(group, "clip"), AUTOENCODER_GOAL)


_GROUP_ROWS: Final = {Given.TEXT: _text_rows, Given.IMAGE: _image_rows, Given.CLIP: _autoencoder_rows}


def _shares(group: Results) -> dict[str, float]:
    return score([outcome.reading for outcome in group.values()], [trial.scene for trial in group])


def _decibels(group: Results, what: str) -> list[float]:
    return [outcome.decibels[what] for outcome in group.values()]


def _share_row(model: str, given: Given, clips: int, what: str, share: float, goal: float | None) -> Row:
    return Row(
        model=model,
        given=given,
        clips=clips,
        what=what,
        result=f"{share:.1%}",
        goal="" if goal is None else f"≥ {goal:.0%}",
        met=None if goal is None else share >= goal,
    )


def _decibel_rows(model: str, given: Given, what: str, decibels: Sequence[float], goal: float | None) -> Iterator[Row]:
    """Mean, which has to reach the goal, worst and, if there is a goal, how many reach it."""
    mean, clips = statistics.fmean(decibels), len(decibels)
    yield Row(
        model=model,
        given=given,
        clips=clips,
        what=f"{what}, PSNR, mean",
        result=f"{mean:.1f} dB",
        goal="" if goal is None else f"≥ {goal:.0f} dB",
        met=None if goal is None else mean >= goal,
    )
    yield Row(model=model, given=given, clips=clips, what=f"{what}, PSNR, least", result=f"{min(decibels):.1f} dB")
    if goal is not None:
        share = sum(value >= goal for value in decibels) / clips
        yield _share_row(model, given, clips, f"{what}, PSNR of {goal:.0f} dB or more", share, None)


def _time_row(model: str, given: Given, group: Results) -> Row:
    seconds = statistics.median(outcome.seconds for outcome in group.values())
    return Row(model=model, given=given, clips=len(group), what="time of one clip, median", result=f"{seconds:.1f} s")


def _misses(results: Results) -> Iterator[str]:
    """A table of the clips that do not show what they should; size, which has no goal, is left out."""
    wrong = [
        (trial, name, outcome.read[name])
        for trial, outcome in results.items()
        if outcome.read
        for name in ATTRIBUTES
        if name != "size" and outcome.read[name] != getattr(trial.scene, name)
    ]
    if not wrong:
        return
    yield from ("## Clips that do not show what they should", "")
    yield from ("| model | given | seed | asked for | read as |", "|---|---|---:|---|---|")
    for trial, name, word in wrong:
        yield f"| {trial.model} | {trial.given} | {trial.seed} | {trial.scene.caption} | {name}: {word or 'unclear'} |"
    yield ""
