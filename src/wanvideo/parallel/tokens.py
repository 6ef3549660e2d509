"""The transformer with its tokens spread over a team: each rank has a share of them, and attention has all.

Everything but self-attention looks at one token at a time, so a rank computes it for its own. Around self-attention
they change from tokens to heads and back: each rank gets all tokens of some heads, attends, and gives the results back
to whose tokens they are of. Nothing is rounded, dropped or filled up on the way, so a rank's numbers are those of one
rank alone, but for the order in which products are summed. Source: DeepSpeed Ulysses, arXiv:2309.14509.

A network knows nothing of it, and its LoRAs, 8-bit products and streamed blocks stay as they are.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from typing import Final

import torch
from torch import Tensor

from wanvideo.kernels.attention import attention
from wanvideo.models.transformer import Attention, WanTransformer
from wanvideo.parallel.team import ALONE, Team
from wanvideo.runtime.mesh import shares

# Tokens. A share is a multiple: kernels work on blocks of so many, or of a divisor, and what is in a block is then what
# would be in it on one rank alone, and is rounded alike. On the CPU the results are equal to the bit.
BLOCK: Final = 32


def spread(network: WanTransformer, team: Team) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """`network` as a function of what its forward takes; all members of `team` call it with the same, and get the same.

    Cross-attention is computed where the tokens are, with the text's keys and values on every rank.
    """
    if team is ALONE:
        return network
    if team.size == 1:
        return partial(_in_turns, network, team)

    def forward(x: Tensor, timestep: Tensor, text: Tensor) -> Tensor:
        h, given = network.embed(x, timestep, text)
        lengths = shares(h.shape[1], team.size, unit=BLOCK)
        start = sum(lengths[: team.place])
        mine = slice(start, start + lengths[team.place])
        own = replace(
            given,
            rope=given.rope[:, mine].contiguous(),
            first=min(max(given.first - start, 0), lengths[team.place]),
        )
        h = h[:, mine].contiguous()
        with _attending_together(network, Ulysses(team, lengths)):
            h = network.through_blocks(h, own)
        patches = team.gather(network.head(h, own.time, own.first), lengths, dim=1)
        return network.unpatchify(patches[:, : given.length], given.grid)

    return forward


def _in_turns(network: WanTransformer, team: Team, x: Tensor, timestep: Tensor, text: Tensor) -> Tensor:
    """Its forward, on a rank that exchanges nothing meanwhile: every block says that it is reached."""
    with ExitStack() as hooks:
        for block in network.blocks:
            handle = block.register_forward_pre_hook(lambda *_: team.turns.take(x.device))
            hooks.callback(handle.remove)
        velocity: Tensor = network(x, timestep, text)
    return velocity


@contextmanager
def _attending_together(network: WanTransformer, together: "Ulysses") -> Iterator[None]:
    attentions = [block.get_submodule("self_attn") for block in network.blocks]
    for layer in attentions:
        assert isinstance(layer, Attention)
        layer.attend = together  # type: ignore[method-assign]
    try:
        yield
    finally:
        for layer in attentions:
            del layer.attend


@dataclass(frozen=True, slots=True, eq=False)
class Ulysses:
    """Attention between tokens that lie on several ranks, `lengths` of them on each."""

    team: Team
    lengths: tuple[int, ...]

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, length: int | None) -> Tensor:
        """As `kernels.attention.attention`, of this rank's q, k and v [B, L, N, head_dim]."""
        heads = shares(q.shape[2], self.team.size)
        q, k, v = self.all_tokens(q, k, v, heads)
        out = attention(q, k, v, length=length) if q.shape[2] else torch.empty_like(q)
        return self.own_tokens(out, heads)

    def all_tokens(self, q: Tensor, k: Tensor, v: Tensor, heads: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
        """All tokens of this rank's heads, each [B, L, n, head_dim]: in one exchange."""
        batch, own, _, dim = q.shape
        number = 3 * batch * dim  # of one head of one token
        given = q.new_empty(own * sum(heads) * number)
        ends = [*accumulate(heads)]
        for first, end in zip([0, *ends], ends, strict=False):
            room = given[own * first * number : own * end * number].view(own, 3, batch, end - first, dim)
            for i, x in enumerate((q, k, v)):
                room[:, i].copy_(x[:, :, first:end].transpose(0, 1))
        mine = heads[self.team.place]
        received = self.team.exchange(
            given, [own * n * number for n in heads], [length * mine * number for length in self.lengths]
        )
        q, k, v = received.view(sum(self.lengths), 3, batch, mine, dim).permute(1, 2, 0, 3, 4).unbind(0)
        return q, k, v

    def own_tokens(self, out: Tensor, heads: tuple[int, ...]) -> Tensor:
        """out [B, L, n, head_dim] of all tokens -> all heads of this rank's tokens."""
        batch, _, mine, dim = out.shape
        own, number = self.lengths[self.team.place], batch * dim
        received = self.team.exchange(
            out.transpose(0, 1).contiguous().view(-1),
            [length * mine * number for length in self.lengths],
            [own * n * number for n in heads],
        )
        parts = received.split([own * n * number for n in heads])
        shaped = [part.view(own, batch, n, dim) for part, n in zip(parts, heads, strict=True)]
        return torch.cat(shaped, dim=2).transpose(0, 1)
