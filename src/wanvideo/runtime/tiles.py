"""How a picture is cut for the autoencoder. Sizes alone, no torch."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Self

OVERLAP: Final = 64  # pixels that neighbouring tiles share at least
_MOST: Final = 8  # tiles along a side


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiling:
    """Equal tiles that cover a picture, spread evenly. All numbers are pixels, and whole cells."""

    height: int
    width: int
    overlap: int  # that neighbours share at least
    cell: int  # side of a latent cell

    @classmethod
    def square(cls, side: int, cell: int) -> Self:
        """Tiles of `side` pixels, rounded down to whole cells, of which neighbours share a quarter, as far as that."""
        cells = side // cell
        return cls(
            height=cells * cell, width=cells * cell, overlap=min(OVERLAP // cell, -(-cells // 4)) * cell, cell=cell
        )

    def rows(self, height: int) -> list[int]:
        """Cells at which the tiles of a picture begin that has `height` cells."""
        return tile_starts(height, self.height // self.cell, self.overlap // self.cell)

    def columns(self, width: int) -> list[int]:
        return tile_starts(width, self.width // self.cell, self.overlap // self.cell)

    def count(self, height: int, width: int) -> int:
        """Tiles in a picture of height x width pixels."""
        return len(self.rows(height // self.cell)) * len(self.columns(width // self.cell))

    def work(self, height: int, width: int) -> float:
        """Pixels worked on, by those of a picture of height x width."""
        return self.count(height, width) * min(self.height, height) * min(self.width, width) / (height * width)

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


def tile_starts(length: int, tile: int, overlap: int) -> list[int]:
    """Where tiles begin along an axis, so that they cover it: evenly, and each sharing at least `overlap`."""
    if length <= tile:
        return [0]
    if not 0 <= overlap < tile:
        raise ValueError(f"tiles of {tile} that share {overlap} do not cover the picture: use 0 <= overlap < tile")
    last = length - tile
    steps = math.ceil(last / (tile - overlap))
    return [last * step // steps for step in range(steps + 1)]


def tilings(height: int, width: int, cell: int) -> list[Tiling]:
    """The ways to cut a picture of height x width pixels, the least work first. cell: side of a latent cell."""
    rows, columns, overlap = height // cell, width // cell, OVERLAP // cell
    cuts = [
        Tiling(height=high * cell, width=wide * cell, overlap=overlap * cell, cell=cell)
        for high in _sides(rows, overlap)
        for wide in _sides(columns, overlap)
        if (high, wide) != (rows, columns)
    ]
    return sorted(cuts, key=lambda cut: (cut.work(height, width), cut.height * cut.width))


def smaller(height: int, width: int, cell: int, tiling: Tiling | None) -> Iterator[Tiling]:
    """What to try when memory runs out in `tiling`, or in the whole picture: each at most 2/3 of the one before."""
    area = height * width if tiling is None else min(tiling.height, height) * min(tiling.width, width)
    for cut in tilings(height, width, cell):
        if 3 * cut.height * cut.width <= 2 * area:
            area = cut.height * cut.width
            yield cut


def _sides(length: int, overlap: int) -> list[int]:
    """Sides of equal tiles along an axis, in cells: the whole of it, and then what is at least twice the overlap."""
    cut = (math.ceil((length + (tiles - 1) * overlap) / tiles) for tiles in range(2, _MOST + 1))
    return [length, *dict.fromkeys(side for side in cut if 2 * overlap <= side < length)]
