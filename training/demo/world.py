"""The demo world: clips of one moving shape with their labels, drawn in batches on any device.

All lengths are fractions of the frame's width (frames are square). y points down, and a position is the centre of the
shape's bounding box, which is as high as it is wide for every shape: the diameter of a circle, the side of a square,
the base and the height of a triangle (point up). Time runs from -1 (first frame) over 0 (mid-clip) to 1 (last frame).

- At mid-clip a small shape is 20 to 26 % of the frame across, a large one 36 to 44 %.
- A move is straight, at constant speed, and covers 30 to 60 % of the frame between the first and the last frame.
- Growing and shrinking change the width linearly about a fixed centre; the area at one end is 3.2 to 5 times the other.
- By default the shape is wholly inside the frame in every frame; a large shape then moves at most as far as it has room
  (a shape of 44 % moves up to 54 %). Clips of the share `crossing` demand it only in the middle half of the clip, so a
  move of theirs may begin or end partly outside, and uses the full 30 to 60 %.
- With a `slant`, the top of a shape is moved to the right of its foot, by that share of its height. The move is shorter
  where the wider shape has less room.
"""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from training.demo.captions import BACKGROUNDS, COLOURS, RGB, VOCABULARY

WIDTHS: Final = ((0.20, 0.26), (0.36, 0.44))  # at mid-clip: small, large
TRAVEL: Final = (0.30, 0.60)  # centre to centre, first to last frame
AREA_RATIO: Final = (3.2, 5.0)  # between the two ends of growing or shrinking
MARGIN: Final = 0.01  # free border around a shape that is inside: more than a pixel at 128
FRAMES: Final = 17
SIZE: Final = 128
CHUNK: Final = 256  # clips drawn at a time: about 2 GiB of working memory at 17 x 128 x 128

# For every motion, in the order of MOTIONS: the direction (x, y), and the sign of the change of width.
DIRECTION: Final = ((-1, 0), (1, 0), (0, -1), (0, 1), (0, 0), (0, 0), (0, 0))
SCALING: Final = (0, 0, 0, 0, 0, 1, -1)


@dataclass(frozen=True, slots=True)
class Track:
    """Where the shapes are: the centres [B, F, 2] as (x, y), and the widths [B, F]."""

    centre: Tensor
    width: Tensor


def sample_clips(
    count: int,
    *,
    generator: torch.Generator,
    labels: Tensor | None = None,
    frames: int = FRAMES,
    size: int = SIZE,
    crossing: float = 0.0,
    slant: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Random clips [B, 3, F, H, W] float32 in [-1, 1] on the generator's device, and their labels [B, 5].

    `labels`, where given, fixes what the clips show (-1: any); only positions and extents are then random.
    """
    chosen = sample_labels(count, generator=generator, labels=labels)
    track = sample_track(chosen, generator=generator, frames=frames, crossing=crossing, slant=slant)
    return draw(chosen, track, size=size, slant=slant), chosen


def sample_labels(count: int, *, generator: torch.Generator, labels: Tensor | None = None) -> Tensor:
    """Uniform labels [B, 5] int64, in the order of `VOCABULARY`; `labels` [B, 5] or [5] fixes those that are not -1."""
    highs = [len(words) for words in VOCABULARY]
    columns = [torch.randint(high, (count,), generator=generator, device=generator.device) for high in highs]
    drawn = torch.stack(columns, 1)
    if labels is None:
        return drawn
    fixed = labels.to(generator.device).expand(count, len(highs))
    return torch.where(fixed >= 0, fixed, drawn)


def sample_track(
    labels: Tensor, *, generator: torch.Generator, frames: int = FRAMES, crossing: float = 0.0, slant: float = 0.0
) -> Track:
    """Random sizes, ways and positions for shapes with these labels [B, 5], as the module's text says."""

    def uniform(low: Tensor | float, high: Tensor | float) -> Tensor:
        return low + (high - low) * torch.rand(len(labels), generator=generator, device=device)

    device = labels.device
    motion = labels[:, 3]
    low, high = torch.tensor(WIDTHS, device=device)[labels[:, 0]].unbind(1)
    middle = uniform(low, high)
    # Linear growth to `ratio` times the width, through `middle`: the ends are middle * (1 -+ change).
    ratio = uniform(*AREA_RATIO).sqrt()
    change = torch.tensor(SCALING, device=device)[motion] * (ratio - 1) / (ratio + 1)
    # The clip must be inside for |time| <= reach, where travel * time / 2 is the way from the centre of the path.
    crosses = (uniform(0, 1) < crossing) & (change == 0)
    reach = torch.where(crosses, 0.5, 1.0)
    widest = middle * (1 + change.abs() * reach) * (1 + slant)
    room = 1 - 2 * MARGIN - widest
    travel = uniform(TRAVEL[0], (room / reach).clamp(max=TRAVEL[1]))
    direction = torch.tensor(DIRECTION, device=device)[motion]  # [B, 2]
    path = direction * travel[:, None] / 2
    slack = room[:, None] / 2 - path.abs() * reach[:, None]
    start = 0.5 + torch.stack([uniform(-1, 1), uniform(-1, 1)], 1) * slack
    time = torch.linspace(-1, 1, frames, device=device) if frames > 1 else torch.zeros(1, device=device)
    centre = start[:, None] + path[:, None] * time[:, None]
    return Track(centre, middle[:, None] * (1 + change[:, None] * time))


def draw(labels: Tensor, track: Track, *, size: int = SIZE, slant: float = 0.0) -> Tensor:
    """Clips [B, 3, F, H, W] float32 in [-1, 1] of what the labels [B, 5] say on these tracks, edges anti-aliased.

    `slant` is how far their tops are to the right of their feet, by their height.
    """
    chunks = []
    for first in range(0, len(labels), CHUNK):
        part = slice(first, first + CHUNK)
        cover = coverage(labels[part, 2], track.centre[part], track.width[part], size=size, slant=slant)
        front, back = _palette(COLOURS, labels[part, 1]), _palette(BACKGROUNDS, labels[part, 4])
        chunks.append(torch.addcmul(back, cover[:, None], front - back))
    return torch.cat(chunks)


def coverage(shape: Tensor, centre: Tensor, width: Tensor, *, size: int, slant: float = 0.0) -> Tensor:
    """How much of each pixel the shapes [B] at `centre` [B, F, 2] with `width` [B, F] cover: [B, F, H, W], 0 to 1.

    From the signed distance, in pixels, to the nearest of the outline's lines. It is that in the upright shape, so with
    a `slant` of 0.35 some edges are 1.2 times as soft.
    """
    pixel = torch.arange(size, device=centre.device) + 0.5
    down = (pixel - centre[..., 1:] * size)[..., :, None]  # [B, F, H, 1]
    across = ((pixel - centre[..., :1] * size)[..., None, :] + slant * down).abs()  # [B, F, H, W]
    half = (width * size / 2)[..., None, None]
    circle = torch.hypot(across, down) - half
    square = torch.maximum(across - half, down.abs() - half)
    # The slanted sides run from (0, -half) to (+-half, half): half a pixel out for each one down.
    triangle = torch.maximum(down - half, (across - (down + half) / 2) / 1.25**0.5)
    kind = shape[:, None, None, None]
    distance = torch.where(kind == 0, circle, torch.where(kind == 1, square, triangle))  # the order of SHAPES
    return (0.5 - distance).clamp_(0, 1)


def _palette(colours: dict[str, RGB], label: Tensor) -> Tensor:
    """The colours of `label` [B] as [B, 3, 1, 1, 1] in [-1, 1]."""
    table = torch.tensor(list(colours.values()), device=label.device) / 127.5 - 1
    return table[label][:, :, None, None, None]
