"""What was measured is held against the goals, and a run goes on where it stopped."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.judge.__main__ import main
from benchmarks.judge.outcome import Outcome
from benchmarks.judge.report import Row, markdown, rows
from benchmarks.judge.scene import ATTRIBUTES
from benchmarks.judge.trials import MODELS, Given, Trial, trials


def perfect(trial: Trial) -> Outcome:
    """All words right, 31 dB."""
    names = {Given.CLIP: ["clip"], Given.IMAGE: ["first"], Given.IMAGES: ["first", "last"]}.get(trial.given, [])
    judged = trial.given is not Given.CLIP
    return Outcome(
        trial=trial.name,
        version="1",
        seconds=4.0,
        read={name: getattr(trial.scene, name) for name in ATTRIBUTES} if judged else {},
        overlap={},
        decibels=dict.fromkeys(names, 31.0),
    )


def report(spoil: Callable[[Trial, Outcome], Outcome] = lambda _, outcome: outcome) -> list[Row]:
    """50 clips of each kind, all perfect but for what `spoil` does to them."""
    return rows({trial: spoil(trial, perfect(trial)) for model in MODELS for trial in trials(model, 50)})


def missed(table: list[Row]) -> list[tuple[str, str, str]]:
    return [(row.model, row.given, row.what) for row in table if row.met is False]


def test_perfect_clips_meet_every_goal() -> None:
    table = report()
    assert missed(table) == []
    assert sum(row.met is True for row in table) == 4 + 1 + 4 + 2 + 1 + 2


@pytest.mark.parametrize(("word", "allowed"), [("background", 1), ("colour", 1), ("motion", 1), ("shape", 1)])
def test_a_text_goal_is_missed_by_one_slip_too_many(word: str, allowed: int) -> None:
    def spoil(slips: int) -> list[tuple[str, str, str]]:
        def spoiled(trial: Trial, outcome: Outcome) -> Outcome:
            hit = trial.model == "ti2v-5B-demo" and trial.given is Given.TEXT and trial.number < slips
            return replace(outcome, read={**outcome.read, word: None}) if hit else outcome

        return missed(report(spoiled))

    assert spoil(allowed) == []
    assert spoil(allowed + 1) == [("ti2v-5B-demo", "text", word)]


def test_what_cannot_be_read_is_wrong_with_images_too() -> None:
    def spoiled(trial: Trial, outcome: Outcome) -> Outcome:
        return replace(outcome, read={**outcome.read, "motion": None}) if trial.number < 3 else outcome

    wrong = missed(report(spoiled))
    assert ("i2v-A14B-demo", "first frame", "motion") in wrong
    assert ("t2v-A14B-demo", "text", "motion") in wrong


@pytest.mark.parametrize(
    ("given", "name", "what"),
    [(Given.IMAGE, "first", "first frame, PSNR, mean"), (Given.CLIP, "clip", "reconstruction, PSNR, mean")],
)
def test_blurry_frames_miss_a_goal(given: Given, name: str, what: str) -> None:
    def spoiled(trial: Trial, outcome: Outcome) -> Outcome:
        hit = (trial.model, trial.given) == ("ti2v-5B-demo", given)
        return replace(outcome, decibels={name: 25.9}) if hit else outcome

    assert missed(report(spoiled)) == [("ti2v-5B-demo", str(given), what)]


def test_the_report_names_the_clips_that_went_wrong() -> None:
    trial = next(trials("t2v-A14B-demo", 1))
    outcome = perfect(trial)
    assert "do not show" not in markdown({trial: outcome})
    text = markdown({trial: replace(outcome, read={**outcome.read, "shape": None, "size": "large"})})
    assert f"| t2v-A14B-demo | text | {trial.seed} | {trial.scene.caption} | shape: unclear |" in text
    assert "| t2v-A14B-demo | text | 1 | shape | 0.0% | ≥ 97% | **missed** |" in text


def test_an_outcome_survives_its_line_of_json() -> None:
    outcome = perfect(next(trials("i2v-A14B-demo", 1)))
    assert Outcome.from_json(outcome.to_json()) == outcome


@pytest.mark.parametrize("line", ['{"trial": "a"', '{"trial": "a"}', "[1, 2]"])
def test_a_line_that_is_no_outcome_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Outcome.from_json(line)


def test_a_run_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(prompts: int) -> str:
        command = ["judge", "--model", "ti2v-5B-demo", "--jobs", "2", "--prompts"]
        folders = ["--json", str(tmp_path / "a/b.jsonl"), "--clips", str(tmp_path / "clips")]
        monkeypatch.setattr("sys.argv", [*command, str(prompts), *folders, "--report", str(tmp_path / "report.md")])
        assert main() == int("**missed**" in (tmp_path / "report.md").read_text())
        return capsys.readouterr().err

    assert "3 clips, 0 of them known" in run(1)
    assert len(list((tmp_path / "clips").iterdir())) == 2
    lines = (tmp_path / "a/b.jsonl").read_text()
    (tmp_path / "a/b.jsonl").write_text(lines + '{"trial": "half')
    log = run(1)
    assert "3 clips, 3 of them known" in log
    assert "line 4" in log
    assert len((tmp_path / "a/b.jsonl").read_text().splitlines()) == 4
    assert (tmp_path / "report.md").read_text().startswith("# Quality of the demo models")


@pytest.mark.parametrize("wrong", ["--prompts 0", "--prompts 1177", "--jobs 0", "--model t2v-A14B"])
def test_wrong_options_are_refused(
    wrong: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["judge", *wrong.split()])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert wrong.split()[0] in capsys.readouterr().err
