"""LoRAs of a request: found, checked, given to the right expert, said, and gone afterwards."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.pipelines.conftest import ask
from tests.pipelines.placed import planned
from tests.weights.lora.dialects import TINY, diffusers_name, matrices, write, write_comfyui
from wanvideo.errors import IncompatibleState, InvalidRequest, LoraCorrupt, LoraNotFound, LoraWrongBase, TooManyLoras
from wanvideo.pipelines.adapt import adapt
from wanvideo.pipelines.architecture import work_of
from wanvideo.pipelines.events import Resolved
from wanvideo.pipelines.pipeline import Pipeline
from wanvideo.pipelines.settings import parameters
from wanvideo.pipelines.state import Checkpoint
from wanvideo.request import LoraExpert, LoraPolicy, LoraUse, ResolvedRequest

FAIL: dict[str, Any] = {"lora_policy": LoraPolicy.FAIL}


@pytest.fixture
def t2v(pipelines: dict[str, Pipeline]) -> Pipeline:
    return pipelines["t2v"]


def frames(pipeline: Pipeline, *uses: LoraUse, **changes: Any) -> NDArray[np.uint8]:
    return pipeline(ask("t2v", loras=uses, **changes)).frames


def resolved(pipeline: Pipeline, *uses: LoraUse, **changes: Any) -> ResolvedRequest:
    events = pipeline.generate(ask("t2v", loras=uses, **changes))
    first = next(events)
    events.close()
    assert isinstance(first, Resolved)
    return first.request


def experts(pipeline: Pipeline, *uses: LoraUse) -> list[tuple[float, float]]:
    return [(lora.strength, lora.strength_low) for lora in resolved(pipeline, *uses, **FAIL).loras]


def test_a_lora_changes_the_video_and_without_it_the_next_is_as_before(t2v: Pipeline, tmp_path: Path) -> None:
    path = write_comfyui(tmp_path / "lora.safetensors")
    plain = frames(t2v)
    networks = dict(t2v._parts._loaded)
    with_it = frames(t2v, LoraUse(source=path, strength=3), **FAIL)
    assert not np.array_equal(plain, with_it)
    assert np.array_equal(frames(t2v), plain)
    assert np.array_equal(frames(t2v, LoraUse(source=path, strength=3)), with_it)
    assert all(t2v._parts._loaded[part] is network for part, network in networks.items())  # nothing was loaded again


def test_strength_0_is_the_same_as_without_it(t2v: Pipeline, tmp_path: Path) -> None:
    path = write_comfyui(tmp_path / "lora.safetensors")
    assert np.array_equal(frames(t2v, LoraUse(source=path, strength=0), **FAIL), frames(t2v))


def test_several_add_up_and_their_order_does_not_matter(t2v: Pipeline, tmp_path: Path) -> None:
    one, two = (LoraUse(source=write_comfyui(tmp_path / f"{i}.safetensors", i), strength=2) for i in (1, 2))
    both = frames(t2v, one, two, **FAIL).astype(int)
    assert np.abs(both - frames(t2v, two, one, **FAIL)).max() <= 1
    for alone in (one, two):
        assert not np.array_equal(both, frames(t2v, alone))


@pytest.mark.parametrize(
    ("name", "strengths"),
    [
        ("style", (1, 1)),
        ("style_HIGH", (1, 0)),
        ("high_noise_model", (1, 0)),
        ("Wan22-LowNoise-style", (0, 1)),
        ("style-high-and-low", (1, 1)),
        ("low_poly", (1, 1)),
        ("yellow_glow", (1, 1)),
    ],
)
def test_the_expert_is_told_by_the_name(name: str, strengths: tuple[int, int], t2v: Pipeline, tmp_path: Path) -> None:
    use = LoraUse(source=write_comfyui(tmp_path / f"{name}.safetensors"))
    assert experts(t2v, use) == [strengths]
    said = resolved(t2v, use).adjustments
    assert len(said) == (strengths != (1, 1))
    assert all("as its name says" in change.reason for change in said)


def test_what_is_asked_for_counts_more_than_the_name(t2v: Pipeline, tmp_path: Path) -> None:
    path = write_comfyui(tmp_path / "low_noise.safetensors")
    assert experts(t2v, LoraUse(source=path, expert=LoraExpert.HIGH)) == [(1, 0)]
    assert experts(t2v, LoraUse(source=path, expert=LoraExpert.BOTH, strength_low=0.5)) == [(1, 0.5)]


def test_a_folder_with_a_pair_is_one_lora(t2v: Pipeline, tmp_path: Path) -> None:
    for i, name in enumerate(("high_noise_model", "low_noise_model")):
        write_comfyui(tmp_path / "Lightning" / f"{name}.safetensors", i)
    use = LoraUse(source=tmp_path / "Lightning", strength=0.9, strength_low=0.8)
    assert experts(t2v, use) == [(0.9, 0), (0, 0.8)]
    assert [lora.name for lora in resolved(t2v, use).loras] == ["Lightning (high)", "Lightning (low)"]


def test_the_strength_of_each_expert_counts_in_its_steps_alone(t2v: Pipeline, tmp_path: Path) -> None:
    def steps(high: float, low: float) -> list[Checkpoint]:
        request = ask("t2v", loras=(LoraUse(source=path, strength=high, strength_low=low),), **FAIL)
        return [event for event in t2v.generate(request) if isinstance(event, Checkpoint)]

    path = write_comfyui(tmp_path / "lora.safetensors")
    plain, low_only = steps(0, 0), steps(0, 3)
    first_low = next(
        i for i, (a, b) in enumerate(zip(plain, low_only, strict=True)) if not a.state.latents.equal(b.state.latents)
    )
    assert first_low > 0
    high_only = steps(3, 0)
    assert not plain[0].state.latents.equal(high_only[0].state.latents)


def test_one_file_for_both_experts_gives_each_its_own(t2v: Pipeline, tmp_path: Path) -> None:
    tensors = {
        f"{prefix}.{diffusers_name(module)}.lora_{end}.weight": tensor
        for prefix, seed in (("transformer", 1), ("transformer_2", 2))
        for module, pair in matrices(seed).items()
        for end, tensor in zip("AB", pair, strict=True)
    }
    together = write(tmp_path / "both.safetensors", tensors)
    high = write(
        tmp_path / "a.safetensors", {n.replace("transformer.", ""): t for n, t in tensors.items() if "_2" not in n}
    )
    low = write(
        tmp_path / "b.safetensors",
        {n.replace("transformer_2.", ""): t for n, t in tensors.items() if "transformer_2" in n},
    )
    pair = LoraUse(source=high, expert=LoraExpert.HIGH), LoraUse(source=low, expert=LoraExpert.LOW)
    assert np.array_equal(frames(t2v, LoraUse(source=together), **FAIL), frames(t2v, *pair, **FAIL))


@pytest.mark.parametrize("keep_all", [True, False])
def test_a_network_is_free_to_go_when_its_turn_is_over(
    keep_all: bool, t2v: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned(monkeypatch, t2v, keep_all=keep_all)
    use = LoraUse(source=write_comfyui(tmp_path / "lora.safetensors"), strength=2)
    changed = frames(t2v, use, **FAIL)
    monkeypatch.undo()
    assert np.array_equal(changed, frames(t2v, use, **FAIL))


def poison(path: Path) -> Path:
    lora = {f"{m}.lora_{end}.weight": t.clone() for m, p in matrices().items() for end, t in zip("AB", p, strict=True)}
    next(iter(lora.values()))[0, 0] = torch.nan
    return write(path, lora)


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda path: path, LoraNotFound, "no LoRA is called"),
        (lambda path: write_comfyui(path, dim=2 * TINY.dim), LoraWrongBase, "width 48"),
        (poison, LoraCorrupt, "not finite"),
    ],
)
def test_what_cannot_be_used_is_left_out_and_said_or_fails(
    make: Any, error: type[Exception], says: str, t2v: Pipeline, tmp_path: Path
) -> None:
    good = LoraUse(source=write_comfyui(tmp_path / "good.safetensors"), strength=2)
    bad = LoraUse(source=make(tmp_path / "bad.safetensors"))
    request = resolved(t2v, good, bad)
    assert [lora.name for lora in request.loras] == ["good"]
    (change,) = request.adjustments
    assert change.field == "loras"
    assert change.used == "left out"
    assert says in change.reason
    assert np.array_equal(frames(t2v, good, bad), frames(t2v, good))
    with pytest.raises(error, match=says):
        t2v.generate(ask("t2v", loras=(bad,), **FAIL))


def test_words_may_be_plain_text_but_not_any(t2v: Pipeline, tmp_path: Path) -> None:
    path = write_comfyui(tmp_path / "lora.safetensors")
    use: Any = LoraUse(source=path, expert="low")  # type: ignore[arg-type]
    assert experts(t2v, use) == [(0, 1)]
    with pytest.raises(InvalidRequest, match="high, low, both"):
        adapt(t2v.spec, ask("t2v", loras=(LoraUse(source=path, expert="middle"),)))  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="warn, fail"):
        adapt(t2v.spec, ask("t2v", loras=(use,), lora_policy="ignore"))
    with pytest.raises(LoraCorrupt):
        t2v.generate(ask("t2v", loras=(LoraUse(source=poison(path)),), lora_policy="fail"))


def test_strengths_and_numbers_out_of_range_are_refused_whatever_the_policy(t2v: Pipeline, tmp_path: Path) -> None:
    path = write_comfyui(tmp_path / "lora.safetensors")
    for strength in (11.0, float("nan"), "1"):
        with pytest.raises(InvalidRequest, match="-10 to 10"):
            adapt(t2v.spec, ask("t2v", loras=(LoraUse(source=path, strength=strength),)))  # type: ignore[arg-type]
    with pytest.raises(TooManyLoras, match="at most 16"):
        adapt(t2v.spec, ask("t2v", loras=(LoraUse(source=path),) * 17))


def test_the_file_says_which_loras_made_it_and_a_run_is_resumed_only_with_the_same(
    t2v: Pipeline, tmp_path: Path
) -> None:
    use = LoraUse(source=write_comfyui(tmp_path / "style.safetensors"), strength=2)
    request = ask("t2v", loras=(use,), **FAIL)
    first = next(t2v.generate(request))
    assert isinstance(first, Resolved)
    digest = first.request.loras[0].digest
    said = [{"name": "style", "digest": digest, "strength": 2.0, "strength_low": 2.0}]
    assert parameters(first.request)["loras"] == said
    events = [event for event in t2v.generate(request) if isinstance(event, Checkpoint)]
    again = [e for e in t2v.generate(request, resume=events[1]) if isinstance(e, Checkpoint)]
    assert again[-1].state.latents.equal(events[-1].state.latents)
    with pytest.raises(IncompatibleState, match="loras"):
        list(t2v.generate(ask("t2v"), resume=events[1]))


def test_a_model_with_one_transformer_takes_no_lora_for_low_noise(
    pipelines: dict[str, Pipeline], tmp_path: Path
) -> None:
    ti2v = pipelines["ti2v"]
    for name, fits in (("style_high", True), ("style", True), ("style_low", False)):
        use = LoraUse(source=write_comfyui(tmp_path / f"{name}.safetensors"))
        request = adapt(ti2v.spec, ask("ti2v", loras=(use,)))
        assert [(lora.strength, lora.strength_low) for lora in request.loras] == ([(1, 0)] if fits else [])
        assert ("one transformer" in "".join(c.reason for c in request.adjustments)) != fits


def test_a_lora_counts_with_the_16_bits_that_it_has_in_memory(t2v: Pipeline, tmp_path: Path) -> None:
    path = write_comfyui(tmp_path / "style.safetensors")
    numbers = sum(down.numel() + up.numel() for down, up in matrices().values())
    assert path.stat().st_size > 4 * numbers
    request = resolved(t2v, LoraUse(source=path), **FAIL)
    assert work_of(t2v.spec, request).lora_bytes == request.loras[0].nbytes == 2 * numbers
