"""The scenes that are asked for are all different and evenly spread, and so are the images."""

from collections import Counter

import numpy as np
import pytest

from benchmarks.judge.draw import place
from benchmarks.judge.judge import judge
from benchmarks.judge.scene import ATTRIBUTES
from benchmarks.judge.trials import MODELS, SCENES, Given, spread, trials


def test_every_scene_comes_once_before_any_comes_again() -> None:
    assert len(set(spread(SCENES, first=77))) == SCENES


@pytest.mark.parametrize("first", [0, 200, 1000])
def test_scenes_are_spread_evenly_over_every_attribute(first: int) -> None:
    for name in ATTRIBUTES:
        counts = Counter(getattr(scene, name) for scene in spread(200, first=first))
        assert max(counts.values()) - min(counts.values()) <= 4


def test_a_dozen_scenes_show_every_word() -> None:
    counts = [len({getattr(scene, name) for scene in spread(12)}) for name in ATTRIBUTES]
    assert counts == [4, 7, 3, 7, 2]


@pytest.mark.parametrize("count", [0, SCENES + 1])
def test_there_are_only_so_many_scenes(count: int) -> None:
    with pytest.raises(ValueError, match=f"{count} different scenes"):
        spread(count)


def test_each_model_is_given_what_it_can_take() -> None:
    given = {model: Counter(trial.given for trial in trials(model, 9)) for model in MODELS}
    assert given == {
        "t2v-A14B-demo": {Given.TEXT: 9, Given.CLIP: 9},
        "ti2v-5B-demo": {Given.TEXT: 9, Given.IMAGE: 9, Given.CLIP: 9},
        "i2v-A14B-demo": {Given.IMAGE: 6, Given.IMAGES: 3},
    }


def test_pairs_of_images_show_every_shape() -> None:
    pairs = [trial for trial in trials("i2v-A14B-demo", 9) if trial.given is Given.IMAGES]
    assert len({trial.scene.shape for trial in pairs}) == 3


def test_another_seed_asks_for_other_scenes_with_other_noise() -> None:
    one, two = (list(trials("t2v-A14B-demo", 20, seed=seed)) for seed in (0, 1))
    assert not {trial.scene for trial in one} & {trial.scene for trial in two}
    assert not {trial.seed for trial in one} & {trial.seed for trial in two}
    assert len({trial.name for trial in one + two}) == 80


def test_given_images_show_the_whole_shape() -> None:
    for trial in trials("i2v-A14B-demo", 42):
        placement = place(trial.scene, np.random.default_rng(trial.seed), inside=1.0)
        for x, y, width in (placement.first, placement.last):
            assert width / 2 <= min(x, y, 1 - x, 1 - y) + 1e-9
        assert judge(trial.drawn()).motion == trial.scene.motion
