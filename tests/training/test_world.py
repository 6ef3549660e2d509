"""The clips that the demo models learn from are what their labels and captions say."""

import random
from functools import cache

import pytest
import torch
from torch import Tensor

from training.demo import captions, world
from training.demo.captions import BACKGROUNDS, COLOURS, MOTIONS, SHAPES, VOCABULARY, Scene, caption

MOVES = MOTIONS[:4]
MIDDLE = slice(4, 13)  # the middle half of 17 frames


@cache
def many(crossing: float = 0.0) -> tuple[Tensor, world.Track]:
    """Labels and tracks of 20,000 clips."""
    generator = torch.Generator().manual_seed(3)
    labels = world.sample_labels(20_000, generator=generator)
    return labels, world.sample_track(labels, generator=generator, crossing=crossing)


def showing(motions: tuple[str, ...]) -> Tensor:
    labels, _ = many()
    return torch.isin(labels[:, 3], torch.tensor([MOTIONS.index(motion) for motion in motions]))


def edges(track: world.Track) -> tuple[Tensor, Tensor]:
    """The lowest and highest x, y [B, F, 2] of the shapes."""
    half = track.width[..., None] / 2
    return track.centre - half, track.centre + half


def test_labels_take_every_value_about_equally_often() -> None:
    labels, _ = many()
    for column, words in zip(labels.T, VOCABULARY, strict=True):
        counts = column.bincount(minlength=len(words))
        torch.testing.assert_close(counts / 20_000, torch.full((len(words),), 1 / len(words)), atol=0.02, rtol=0)


def test_every_shape_is_wholly_inside_in_every_frame() -> None:
    low, high = edges(many()[1])
    assert low.min() > 1 / 128
    assert high.max() < 127 / 128


def test_crossing_shapes_are_inside_in_the_middle_half_and_sometimes_not_beyond() -> None:
    low, high = edges(many(crossing=1.0)[1])
    assert low[:, MIDDLE].min() > 1 / 128
    assert high[:, MIDDLE].max() < 127 / 128
    assert low.min() < 0
    assert high.max() > 1


def test_small_and_large_are_told_by_the_width_at_mid_clip() -> None:
    labels, track = many()
    small, large = (track.width[labels[:, 0] == size, 8] for size in (0, 1))
    assert (small >= 0.20).all()
    assert (small <= 0.26).all()
    assert (large >= 0.36).all()
    assert (large <= 0.44).all()


@pytest.mark.parametrize("crossing", [0.0, 1.0])
def test_a_move_covers_30_to_60_percent_at_constant_speed_in_its_direction(crossing: float) -> None:
    labels, track = many(crossing)
    for motion, way in zip(MOVES, ((-1, 0), (1, 0), (0, -1), (0, 1)), strict=True):
        centre = track.centre[labels[:, 3] == MOTIONS.index(motion)]
        steps = centre.diff(dim=1)
        torch.testing.assert_close(steps, steps[:, :1].expand_as(steps), atol=1e-5, rtol=0)
        travel = (centre[:, -1] - centre[:, 0]) @ torch.tensor(way, dtype=torch.float32)
        assert travel.min() >= 0.30 - 1e-5
        assert 0.57 < travel.max() <= 0.60 + 1e-5


def test_what_does_not_move_keeps_its_centre_and_what_does_not_grow_its_width() -> None:
    _, track = many()
    resting, rigid = track.centre[~showing(MOVES)], track.width[~showing(("is growing", "is shrinking"))]
    assert (resting == resting[:, :1]).all()
    assert (rigid == rigid[:, :1]).all()


def test_growing_and_shrinking_change_the_area_more_than_threefold() -> None:
    _, track = many()
    ratio = (track.width[:, -1] / track.width[:, 0]).square()
    grown, shrunk = ratio[showing(("is growing",))], 1 / ratio[showing(("is shrinking",))]
    for change in (grown, shrunk):
        assert change.min() > 3.19
        assert change.max() < 5.01


def test_clips_have_the_colours_that_their_labels_name() -> None:
    clips, labels = world.sample_clips(30, generator=torch.Generator().manual_seed(4), frames=3, size=64)
    assert (clips.shape, clips.dtype) == ((30, 3, 3, 64, 64), torch.float32)
    for clip, label in zip(clips, labels.tolist(), strict=True):
        scene = Scene.from_labels(*label)
        pixels = ((clip + 1) * 127.5).round().int().flatten(1).T
        seen, count = pixels.unique(dim=0, return_counts=True)
        common = {tuple(seen[i].tolist()) for i in count.argsort(descending=True)[:2]}
        assert common == {COLOURS[scene.colour], BACKGROUNDS[scene.background]}


@pytest.mark.parametrize(("shape", "area"), [("circle", 0.25 * torch.pi), ("square", 1.0), ("triangle", 0.5)])
@pytest.mark.parametrize("width", [0.2, 0.3371])
def test_shapes_cover_their_area_about_their_centre(shape: str, area: float, width: float) -> None:
    kind, centre = torch.tensor([SHAPES.index(shape)]), torch.tensor([[[0.4, 0.55]]])
    cover = world.coverage(kind, centre, torch.tensor([[width]]), size=128)[0, 0]
    assert float(cover.sum()) / 128**2 == pytest.approx(area * width**2, rel=0.02)
    for axis, middle in ((0, 0.4), (1, 0.55)):
        inside = (cover.amax(axis) > 0.5).nonzero().flatten()
        # The apex of the triangle is thinner than a pixel.
        assert float(inside[0] + inside[-1] + 1) / 256 == pytest.approx(middle, abs=1.5 / 128)
        assert len(inside) / 128 == pytest.approx(width, abs=2.5 / 128)


def test_triangles_point_up() -> None:
    kind, centre = torch.tensor([SHAPES.index("triangle")]), torch.full((1, 1, 2), 0.5)
    rows = world.coverage(kind, centre, torch.full((1, 1), 0.4), size=128)[0, 0].sum(1)
    rows = rows[rows > 0]
    assert (rows.diff()[:-2] > 0).all()


def test_labels_can_be_fixed_wholly_or_in_part() -> None:
    fixed = torch.tensor([1, -1, 2, 5, 0])
    labels = world.sample_labels(50, generator=torch.Generator().manual_seed(5), labels=fixed)
    assert (labels[:, [0, 2, 3, 4]] == fixed[[0, 2, 3, 4]]).all()
    assert len(labels[:, 1].unique()) > 1


def test_the_same_seed_draws_the_same_clips_however_they_are_chunked(monkeypatch: pytest.MonkeyPatch) -> None:
    first, labels = world.sample_clips(7, generator=torch.Generator().manual_seed(6), frames=3, size=32)
    monkeypatch.setattr(world, "CHUNK", 2)
    second, again = world.sample_clips(7, generator=torch.Generator().manual_seed(6), frames=3, size=32)
    assert torch.equal(first, second)
    assert torch.equal(labels, again)


def test_a_single_frame_is_the_middle_of_a_clip() -> None:
    labels = torch.tensor([[0, 0, 0, 5, 0]])
    track = world.sample_track(labels, generator=torch.Generator().manual_seed(7), frames=1)
    assert 0.20 <= float(track.width) <= 0.26


def test_captions_follow_the_template() -> None:
    scene = Scene("small", "red", "circle", "moves left", "navy")
    assert caption(scene) == "a small red circle moves left on a navy background"
    assert caption(Scene("large", "orange", "triangle", "is growing", "gray")) == (
        "a large orange triangle is growing on a gray background"
    )


def test_all_1176_scenes_have_their_own_caption_and_labels() -> None:
    scenes = list(captions.all_scenes())
    assert len({caption(scene) for scene in scenes}) == 1176
    assert all(Scene.from_labels(*scene.labels) == scene for scene in scenes)


def test_an_unknown_word_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'pink' is not in the demo world; it knows red, green"):
        Scene("small", "pink", "circle", "moves left", "navy")


@pytest.mark.parametrize(
    ("table", "known"),
    [
        (captions.SIZE_WORDS, captions.SIZES),
        (captions.COLOUR_WORDS, tuple(COLOURS)),
        (captions.SHAPE_WORDS, SHAPES),
        (captions.BACKGROUND_WORDS, tuple(BACKGROUNDS)),
        ({motion: sum(words, ()) for motion, words in captions.MOTION_WORDS.items()}, MOTIONS),
    ],
    ids=["size", "colour", "shape", "background", "motion"],
)
def test_no_synonym_stands_for_two_values(table: dict[str, tuple[str, ...]], known: tuple[str, ...]) -> None:
    assert tuple(table) == known
    assert sum(len(set(words)) for words in table.values()) == len(set().union(*table.values()))


def test_a_paraphrase_names_every_attribute() -> None:
    rng = random.Random(8)
    scenes = list(captions.all_scenes())
    for scene in rng.sample(scenes, 400):
        sentence = captions.paraphrase(scene, rng).lower()
        named = (
            captions.SIZE_WORDS[scene.size],
            captions.COLOUR_WORDS[scene.colour],
            captions.SHAPE_WORDS[scene.shape],
            tuple(phrase for both in captions.MOTION_WORDS[scene.motion] for phrase in both),
            tuple(f"{word} back" for word in captions.BACKGROUND_WORDS[scene.background]),
        )
        assert all(any(word in sentence for word in words) for words in named), sentence


def test_paraphrases_and_fragments_vary() -> None:
    rng, scene = random.Random(9), Scene("large", "orange", "square", "stays still", "gray")
    assert len({captions.paraphrase(scene, rng) for _ in range(200)}) > 150
    assert len({captions.fragment(scene, rng) for _ in range(200)}) > 50
    fragments = [captions.fragment(scene, rng).lower() for _ in range(50)]
    assert all("orange" in text and ("square" in text or "box" in text) for text in fragments)


@pytest.mark.parametrize(("noun", "expected"), [("orange box", "an orange box"), ("huge box", "a huge box")])
def test_the_article_fits_the_noun(noun: str, expected: str) -> None:
    assert captions.article(noun) == expected


def test_a_slanted_shape_has_the_rows_of_the_upright_one_each_moved_by_its_height() -> None:
    labels = many()[0][:64]
    track = world.sample_track(labels, generator=torch.Generator().manual_seed(3), slant=0.35)
    upright, slanted = (
        world.coverage(labels[:, 2], track.centre, track.width, size=128, slant=slant).double() for slant in (0.0, 0.35)
    )
    rows = upright.sum(3)
    full = rows > 8  # of the thinner ones, anti-aliasing is too large a part
    torch.testing.assert_close(slanted.sum(3)[full], rows[full], atol=0.5, rtol=0)
    pixel = torch.arange(128) + 0.5
    middles = [(cover * pixel).sum(3)[full] / cover.sum(3)[full] for cover in (upright, slanted)]
    above = (track.centre[..., 1, None] * 128 - pixel)[full]
    torch.testing.assert_close(middles[1] - middles[0], 0.35 * above.double(), atol=0.8, rtol=0)


def test_slanted_shapes_are_inside_too_and_move_as_far_as_a_move_is() -> None:
    labels, _ = many()
    track = world.sample_track(labels, generator=torch.Generator().manual_seed(3), slant=0.35)
    half = track.width / 2 * 1.35
    assert (track.centre[..., 0] - half).min() > 1 / 128
    assert (track.centre[..., 0] + half).max() < 127 / 128
    travel = (track.centre[:, -1] - track.centre[:, 0]).norm(dim=1)[showing(MOVES)]
    assert travel.min() >= 0.30 - 1e-5
