"""Measure the built-in demo models against their goals: `python -m benchmarks.judge --jobs 2`.

Prints a Markdown table. Each outcome is kept as a line of JSON as soon as it is known, and a run that was interrupted
goes on from there; outcomes of other weights or of another judge are made anew. Delete that file after a change to the
code that makes video. Exits with 1 if a goal is missed.
"""

import argparse
import multiprocessing
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import torch

from benchmarks.judge.outcome import Outcome, attempt, version
from benchmarks.judge.report import markdown, rows
from benchmarks.judge.trials import MODELS, SCENES, Trial, trials


def main() -> int:
    options = _options()
    wanted = [trial for model in options.model or MODELS for trial in trials(model, options.prompts, seed=options.seed)]
    known = _known(options.json, wanted)
    _say(f"{len(wanted)} clips, {len(known)} of them known from {options.json}")
    todo = [trial for trial in wanted if trial not in known]
    for folder in (options.json.parent, options.clips):
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with options.json.open("a", encoding="utf-8") as file:
        for done, (trial, outcome) in enumerate(_attempts(todo, options.jobs, options.clips), start=1):
            known[trial] = outcome
            file.write(f"{outcome.to_json()}\n")
            file.flush()
            left = (time.monotonic() - began) / done * (len(todo) - done) / 60
            _say(f"{len(known)}/{len(wanted)}, {left:.0f} min left: {_in_short(trial, outcome)}")
    results = {trial: known[trial] for trial in wanted}
    report = markdown(results)
    print(report)
    if options.report is not None:
        options.report.write_text(report, encoding="utf-8")
    return 1 if any(row.met is False for row in rows(results)) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.judge", description=__doc__)
    parser.add_argument("--model", action="append", choices=MODELS, help="may be given more than once; default: all")
    parser.add_argument("--prompts", type=int, default=200, help="of each kind of input (default: 200)")
    parser.add_argument("--seed", type=int, default=0, help="other seeds are other scenes and other noise (default: 0)")
    parser.add_argument("--jobs", type=int, default=1, help="processes, which share the CPU's cores (default: 1)")
    parser.add_argument(
        "--json",
        type=Path,
        default=Path("build/demo-quality.jsonl"),
        metavar="FILE",
        help="where outcomes are kept (default: %(default)s)",
    )
    parser.add_argument("--clips", type=Path, metavar="FOLDER", help="keep the MP4 files there")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the report there, too")
    options = parser.parse_args()
    if not 1 <= options.prompts <= SCENES:
        parser.error(f"--prompts {options.prompts}: use 1 to {SCENES}")
    if options.jobs < 1 or options.seed < 0:
        parser.error("--jobs must be at least 1, --seed at least 0")
    return options


def _known(path: Path, wanted: Sequence[Trial]) -> dict[Trial, Outcome]:
    """Which of the wanted outcomes are in the file."""
    if not path.exists():
        return {}
    by_name = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            outcome = Outcome.from_json(line)
        except ValueError as error:  # half a line, from a run that was killed or a disk that was full
            _say(f"line {number} of {path} is left out: {error}")
        else:
            by_name[outcome.trial, outcome.version] = outcome
    keys = {trial: (trial.name, version(trial.model)) for trial in wanted}
    return {trial: by_name[key] for trial, key in keys.items() if key in by_name}


def _attempts(todo: Sequence[Trial], jobs: int, clips: Path | None) -> Iterator[tuple[Trial, Outcome]]:
    """The trials with their outcomes, as they get ready."""
    if jobs == 1:
        yield from ((trial, attempt(trial, version(trial.model), clips=clips)) for trial in todo)
        return
    threads = max(1, torch.get_num_threads() // jobs)
    fresh = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    with ProcessPoolExecutor(jobs, fresh, initializer=torch.set_num_threads, initargs=(threads,)) as pool:
        futures = {pool.submit(attempt, trial, version(trial.model), clips=clips): trial for trial in todo}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _in_short(trial: Trial, outcome: Outcome) -> str:
    right = [name for name, word in outcome.read.items() if word == getattr(trial.scene, name)]
    wrong = [f"{name} {word}" for name, word in outcome.read.items() if name not in right]
    decibels = [f"{what} {value:.1f} dB" for what, value in outcome.decibels.items()]
    return f"{trial.name}: " + ", ".join([*decibels, *wrong] or ["as asked"]) + f" ({outcome.seconds:.1f} s)"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
