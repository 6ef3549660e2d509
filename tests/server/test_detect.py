"""Which model type, by rules and by what the models take."""

from wanvideo.families.registry import installed_families
from wanvideo.server.catalog import I2V, T2V, TI2V, Catalog
from wanvideo.server.detect import Detection, detect
from wanvideo.weights.places import Places

TYPES = Catalog(installed_families(), Places()).wire_entries()


def found(prompt: str = "a heron", *, image: bool = False, end: bool = False) -> Detection:
    return detect(prompt, TYPES, has_image=image, has_end_image=end)


def test_text_alone_is_for_the_text_model() -> None:
    assert (found().type, found().alternatives) == (T2V, (TI2V,))


def test_a_picture_is_for_the_picture_model_unless_it_is_to_change() -> None:
    assert found(image=True).type == I2V
    assert found("it turns into a swan", image=True).type == TI2V


def test_only_a_model_that_takes_a_last_picture_is_named_for_one() -> None:
    both = found(image=True, end=True)
    assert (both.type, both.alternatives, both.confidence) == (I2V, (), 1.0)


def test_confidence_is_what_the_inputs_leave_open() -> None:
    assert found().confidence == 0.5
    assert "rule" in found().rule
