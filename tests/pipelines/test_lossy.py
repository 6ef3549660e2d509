"""What lossy settings cost is the same in plans and in the documentation."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

from wanvideo.pipelines.lossy import FAST_ON, STEP_CACHE_ON, TILES_ON, Quality, computed_share, lossy
from wanvideo.request import Tier
from wanvideo.weights.catalog import resolve

DOCS = Path(__file__).parents[2] / "docs"
ON_A_CPU = [*(quality for rows in STEP_CACHE_ON.values() for _, quality in rows), *TILES_ON.values()]


def rows(name: str, beginning: str) -> Iterator[list[str]]:
    """The cells of the table that follows the line of that beginning."""
    text = (DOCS / name).read_text("utf-8")
    table = text[text.index(beginning) :]
    table = table[table.index("\n|") + 1 :].partition("\n\n")[0]
    for line in table.splitlines()[2:]:
        yield [cell.strip(" *") for cell in line.strip("|").split("|")]


def test_the_tier_fast_has_the_quality_that_performance_md_states() -> None:
    stated = {
        model: (right, exact, psnr)
        for model, exact, right, _, _, psnr in rows("performance.md", "## Quality of the tier fast on an H100")
    }
    assert stated == {
        model: (f"{q.right} %", f"{q.exact_right} %", f"{q.psnr} dB") for model, q in FAST_ON.items()
    }  # fmt: skip
    text = (DOCS / "performance.md").read_text("utf-8")
    assert all(f"--dial fast --clips {each.clips}" in text for each in FAST_ON.values())


@pytest.mark.parametrize("quality", ON_A_CPU, ids=lambda quality: f"{quality.model} {quality.setting}")
def test_other_settings_have_the_quality_that_both_documents_state(quality: Quality) -> None:
    made = {(model, setting): cells for model, setting, *cells in rows("quality.md", "With those, on an H100")}
    clips, computed, _, psnr, _, _, right, *_ = made[quality.model, quality.setting]
    assert (clips, computed) == (str(quality.clips), f"{100 * quality.computed:.0f}%")
    assert (psnr.partition(",")[0], right) == (str(quality.psnr), f"{quality.right}%")
    assert made[quality.model, "exact"][6] == f"{quality.exact_right}%"
    model, stated = "", []
    for name, setting, share, decibels, right, exact, *_ in rows("performance.md", "Other lossy settings on the demo"):
        model = name or model
        if (model, setting) == (quality.model, quality.setting):
            stated = [share, decibels, right, exact]
    assert stated == [
        f"{100 * quality.computed:.0f} %", f"{quality.psnr} dB", f"{quality.right} %", f"{quality.exact_right} %",
    ]  # fmt: skip


def test_each_model_has_the_numbers_of_the_demo_model_that_is_like_it() -> None:
    found = {
        name: [each.model for each in lossy(resolve(name), Tier.FAST, step_cache=0.05, steps=40, tiles=True)]
        for name in ("t2v-A14B", "i2v-A14B", "ti2v-5B")
    }
    assert set(chain(found["t2v-A14B"], found["i2v-A14B"])) == {"t2v-A14B-demo"}
    assert found["ti2v-5B"] == ["ti2v-5B-demo", "ti2v-5B-demo"], "its tiles were not measured"
    assert list(lossy(resolve("t2v-A14B"), Tier.EXACT)) == []


@pytest.mark.parametrize(
    ("threshold", "steps", "share"),
    [(None, 40, 1.0), (0.04, 40, 1.0), (0.05, 40, 0.6), (0.07, 40, 0.6), (0.2, 40, 0.46), (1.0, 40, 0.46), (0.2, 4, 1)],
)
def test_a_step_cache_is_expected_to_spare_what_it_spared_before(
    threshold: float | None, steps: int, share: float
) -> None:
    assert computed_share(resolve("t2v-A14B"), threshold, steps) == share
