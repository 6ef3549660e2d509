import json
from dataclasses import fields
from typing import Any

import pytest

from wanvideo.errors import InvalidRequest
from wanvideo.jobs.spec import Fallback, JobSpec
from wanvideo.request import GenerationRequest, LoraExpert, LoraPolicy, LoraUse, Solver, Tier

FULL = JobSpec(
    model="i2v-A14B",
    variant="fp8",
    request=GenerationRequest(
        prompt="a heron lands",
        negative_prompt="",
        image="a" * 64 + ".png",
        width=832,
        height=480,
        seconds=5.0,
        steps=4,
        guidance=1.0,
        guidance_low=1.5,
        sigmas=(1.0, 0.5, 0.0),
        solver=Solver.EULER,
        step_cache=0.05,
        seed=2**40,
        loras=(LoraUse(source="ink", strength=0.5, expert=LoraExpert.HIGH),),
        lora_policy=LoraPolicy.FAIL,
    ),
    tier=Tier.FAST,
    fallback=Fallback.OFF,
    memory_limit=16 * 2**30,
    tile=256,
    embed=False,
)


def test_a_spec_survives_json() -> None:
    assert JobSpec.from_json(json.loads(json.dumps(FULL.to_json()))) == FULL


def test_what_is_unset_is_left_out() -> None:
    plain = JobSpec(model="t2v-A14B", request=GenerationRequest(prompt="a"))
    assert plain.to_json()["request"] == {"prompt": "a", "lora_policy": "warn"}
    assert JobSpec.from_json(plain.to_json()) == plain


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": 3}, "model is 3"),
        ({"model": None}, "model is missing"),
        ({"speed": 1}, "a job has no 'speed'"),
        ({"tier": "best"}, "tier is 'best': give one of exact, fast"),
        ({"request": {"prompt": "a", "steps": "many"}}, "steps is 'many': give a whole number"),
        ({"request": {"prompt": "a", "steps": True}}, "steps is True"),
        ({"request": {"prompt": "a", "image": "/etc/passwd"}}, "image of a job is '/etc/passwd'"),
        ({"request": {"prompt": "a", "image": "../x.png"}}, "image of a job"),
        ({"request": {"prompt": "a", "loras": [{"source": "../x"}]}}, "source of a job"),
        ({"request": {"prompt": "a", "loras": {}}}, "loras is {}: give a list"),
        ({"request": {}}, "prompt is missing"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        JobSpec.from_json({"model": "t2v-A14B", "request": {"prompt": "a"}, **change})


def test_every_field_can_be_read() -> None:
    unset = {field.name: None for field in fields(JobSpec)}
    request = {field.name: None for field in fields(GenerationRequest)} | {"prompt": "a"}
    lora = {field.name: None for field in fields(LoraUse)} | {"source": "ink"}
    found = JobSpec.from_json({**unset, "model": "t2v-A14B", "request": {**request, "loras": [lora]}})
    assert found == JobSpec(model="t2v-A14B", request=GenerationRequest(prompt="a", loras=(LoraUse(source="ink"),)))
