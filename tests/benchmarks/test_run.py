"""Every part of the speed benchmark runs; on small networks, whose numbers mean nothing."""

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from benchmarks.full_size import measure, pipeline_for
from benchmarks.run import PARTS, main
from benchmarks.speed.forward import planned_seconds
from benchmarks.speed.memory import VARIANTS, shrunk
from benchmarks.speed.record import Result, read_runs
from benchmarks.speed.report import TITLES, with_ratios
from benchmarks.speed.shapes import A14B_480P, A14B_720P, TI2V_704P, Shape, attention_flop, forward_flop
from tests.pipelines.placed import planned
from wanvideo.request import GenerationRequest, Tier
from wanvideo.runtime.machine import H100
from wanvideo.weights.catalog import resolve

TINY = ("--device", "cpu", "--quick", "--tiny")


@pytest.fixture(autouse=True)
def same_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_all_parts_run_and_leave_numbers_or_reasons(tmp_path: Path) -> None:
    lines, tables = tmp_path / "new" / "results.jsonl", tmp_path / "results.md"
    options = ["--shapes", "5b-704p", "--caps", "8", "--json", str(lines), "--markdown", str(tables)]
    assert main([*TINY, *options]) == 0
    (run,) = read_runs(lines)
    assert run.machine["PyTorch"] == torch.__version__
    assert {result.part for result in run.results} == set(PARTS) | {"agreement"}
    for result in run.results:
        assert result.skipped or result.numbers, result
        assert all(math.isfinite(value) for value in result.numbers.values()), result
    text = tables.read_text("utf-8")
    assert all(title in text for title in TITLES.values())
    assert "not run: memory can be capped on a GPU only" in text
    ours = {r.subject: r for r in run.results if r.part == "agreement"}
    assert ours["diffusers eager, default"].numbers["relative_error"] < 1e-4


@pytest.mark.parametrize("float8", [False, True])
@pytest.mark.parametrize("tier", Tier)
def test_blocks_that_do_not_fit_are_drawn_as_well(monkeypatch: pytest.MonkeyPatch, tier: Tier, float8: bool) -> None:
    request = GenerationRequest(prompt="random", width=64, height=64, frames=5, steps=2, guidance=1.0, seed=1)
    with pipeline_for(shrunk(resolve("t2v-A14B")), "float32", device="cpu", tier=tier, float8=float8) as pipeline:
        planned(monkeypatch, pipeline, resident=1)
        found = measure(pipeline, request)
    assert not found["all networks resident"]
    assert found["frames made"] == 5


@pytest.mark.parametrize(("shape", "measured"), [(TI2V_704P, 0.845), (A14B_480P, 2.632), (A14B_720P, 10.29)])
def test_what_is_planned_of_a_forward_is_near_what_was_measured(shape: Shape, measured: float) -> None:
    assert planned_seconds(shape, Tier.EXACT, H100) == pytest.approx(measured, rel=0.04)


def test_without_a_peer_nothing_is_compared(tmp_path: Path) -> None:
    lines = tmp_path / "results.jsonl"
    main(
        [*TINY, "--only", "forward,text", "--no-peer", "--tiers", "exact", "--shapes", "5b-704p", "--json", str(lines)]
    )
    (run,) = read_runs(lines)
    assert {result.subject for result in run.results} == {"wanvideo exact"}


def test_without_a_gpu_full_size_is_left_out_with_a_reason(tmp_path: Path) -> None:
    lines = tmp_path / "results.jsonl"
    assert main(["--device", "cpu", "--only", "forward", "--json", str(lines)]) == 0
    (result,) = read_runs(lines)[0].results
    assert "measured on a GPU" in (result.skipped or "")


def test_unknown_parts_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--only", "forward,vea"])
    assert "'vea' is none of ceilings, forward" in capsys.readouterr().err


def test_a_run_that_was_killed_keeps_what_it_has(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    result = Result(part="vae", case="a", subject="wanvideo exact", numbers={"seconds": 2.0})
    path.write_text(json.dumps({"machine": {"device": "x"}}) + f"\n{result.to_json()}\n" + '{"part": "va', "utf-8")
    assert [run.results for run in read_runs(path)] == [(result,)]


def test_the_ratio_is_to_the_fastest_peer_of_the_same_case() -> None:
    def row(case: str, subject: str, seconds: float) -> Result:
        return Result(part="forward", case=case, subject=subject, numbers={"seconds": seconds})

    rows = [
        row("a", "wanvideo exact", 2.0),
        row("a", "diffusers eager", 4.0),
        row("a", "diffusers compiled", 3.0),
        row("b", "diffusers eager", 1.0),
    ]
    assert [result.numbers.get("times_peer") for result in with_ratios(rows)] == [1.5, None, None, None]


@pytest.mark.parametrize(
    ("shape", "tokens", "pflop", "attention"),
    [(A14B_480P, 32_760, 1.678, 0.893), (A14B_720P, 75_600, 6.523, 4.714), (TI2V_704P, 27_280, 0.517, 0.279)],
)
def test_the_arithmetic_of_a_forward(shape: Shape, tokens: int, pflop: float, attention: float) -> None:
    assert shape.tokens == tokens
    assert forward_flop(shape) / 1e15 == pytest.approx(pflop, rel=0.01)
    assert attention_flop(shape) / 1e15 == pytest.approx(attention, rel=0.01)


def test_whole_pipelines_of_every_kind_run(tmp_path: Path) -> None:
    lines = tmp_path / "results.jsonl"
    options = ["--only", "memory", "--shapes", "a14b-720p", "--wholes", ",".join(VARIANTS), "--json", str(lines)]
    assert main([*TINY, *options]) == 0
    (run,) = read_runs(lines)
    assert len(run.results) == len(VARIANTS) + 2  # the RTX 4080 and LoRAs in both tiers
    for result in run.results:
        assert result.numbers["denoise_host_gib"] > 0
