"""Who works with whom: ranks in teams, one for each branch of guidance, whose members share tokens. No torch."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mesh:
    """`size` ranks in `branches` teams of equal width. Guidance is outermost: a team has neighbouring ranks.

    A team computes one of the network's forwards. With both branches of guidance computed at the same time, two teams
    exchange nothing but one prediction a step; within a team, tokens are exchanged in every block.
    """

    size: int
    branches: int = 1  # 2: the prompt and the negative prompt at the same time

    @property
    def width(self) -> int:
        """Ranks in a team."""
        return self.size // self.branches

    def branch(self, rank: int) -> int:
        """Which team a rank is in."""
        return rank // self.width

    @property
    def teams(self) -> tuple[tuple[int, ...], ...]:
        """The ranks of each branch."""
        return tuple(tuple(range(start, start + self.width)) for start in range(0, self.size, self.width))

    @property
    def counterparts(self) -> tuple[tuple[int, ...], ...]:
        """The ranks in the same place of all teams."""
        return tuple(tuple(range(place, self.size, self.width)) for place in range(self.width))


def mesh_for(size: int, *, guided: bool) -> Mesh:
    """The arrangement that exchanges least. An odd number of ranks computes both branches one after the other."""
    return Mesh(size, 2 if guided and size % 2 == 0 else 1)


def shares(count: int, parts: int, *, unit: int = 1) -> tuple[int, ...]:
    """`count` things in `parts` shares that differ by at most one unit, the larger ones first.

    All but the last share are whole units; where there are fewer units than shares, single things are shared.
    """
    if count < parts * unit:
        unit = 1
    units = -(-count // unit)
    least, more = divmod(units, parts)
    *first, last = ((least + (part < more)) * unit for part in range(parts))
    return *first, last - (units * unit - count)
