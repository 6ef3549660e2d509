"""What a kernel for the autoencoder gives beside its twin. Run as a program: on the CPU, in Triton's interpreter."""

from collections.abc import Iterator
from itertools import product
from unittest.mock import patch

import torch
from torch import Tensor

from tests.runtime.small_vae import small
from wanvideo.kernels import vae
from wanvideo.runtime.fused_vae import FusedDecoder, FusedEncoder

SHAPES = ((1, 2, 3, 8), (3, 5, 4, 24), (4, 3, 2, 160))


def cases(device: str, dtype: torch.dtype, shapes: tuple[tuple[int, int, int, int], ...]) -> Iterator[tuple[str, ...]]:
    """Name the cases whose numbers differ, and by how much."""
    for name, ours, twin in comparisons(device, dtype, shapes):
        # Both round once, from float32 sums taken in another order.
        error = float(((ours.float() - twin.float()).abs() / (0.1 + twin.float().abs())).max())
        if not error <= max(1e-4, 1.1 * torch.finfo(dtype).eps):
            yield name, f"{error:.2e}"


def comparisons(
    device: str, dtype: torch.dtype, shapes: tuple[tuple[int, int, int, int], ...]
) -> Iterator[tuple[str, Tensor, Tensor]]:
    from wanvideo.kernels import vae_triton as kernels

    generator = torch.Generator(device).manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, device=device).to(dtype)

    for T, H, W, C in shapes:
        x, gamma, bias = random(T, H, W, C), random(C, 1, 1, 1), random(C)
        x[0, 0, 0] = 0  # a pixel without a direction
        for silu, b in product((True, False), (None, bias)):
            window, kept = random(2 + T, H, W, C), random(min(T, 2), H, W, C)
            before = window[:2].clone()
            kernels.norm_silu_triton(x, gamma, b, window[2:], kept, silu)
            twin = vae.norm_silu_torch(x, gamma, b, silu)
            name = f"norm {T, H, W, C} silu={silu} bias={b is not None}"
            yield name, window, torch.cat([before, twin])
            yield f"{name} kept", kept, twin[-kept.shape[0] :]
        for b in (None, bias):
            h = random(T, H, W, C)
            twin = vae.add_torch(h, x, b).to(dtype)
            kernels.add_triton_(h, x, b)
            yield f"add {T, H, W, C} bias={b is not None}", h, twin
        for time, space, wider in ((1, 1, 1), (1, 2, 1), (2, 2, 2), (2, 2, 1)):
            frames = -(-T // time)
            h, source = random(frames, H, W, wider * C), random(T, H * space, W * space, C)
            twin = (h.float() + vae.averaged_torch(source, wider * C, time, space)).to(dtype)
            kernels.add_averaged_triton_(h, source, time, space)
            yield f"averaged {T, H, W, C} {time}x{space}", h, twin
        for time, narrower in ((1, 1), (2, 1), (1, 2), (2, 2)):
            source = random(T, H, W, narrower * C)
            for first in range(time * T - 1 or 1):
                phases, out = random(1, H + 1, W + 1, 4 * C), random(1, 2 * H, 2 * W, C)
                plain = vae.join_phases_torch(phases) + bias.float()
                kernels.join_phases_triton(phases, bias, out, None, 1, 0)
                yield f"phases {T, H, W, C}", out, plain.to(dtype)
                plain += vae.duplicated_torch(source, C, time)[first : first + 1]
                kernels.join_phases_triton(phases, bias, out, source, time, first)
                yield f"phases {T, H, W, C} duplicated {time}x{narrower} from {first}", out, plain.to(dtype)


def differences_of_a_whole_clip() -> Iterator[tuple[str, ...]]:
    """A decode and an encode in which every step goes through its kernel, beside those of the model."""
    for kind in ("2.1", "2.2"):
        network, latents, video = small(kind), torch.randn(1, 4, 3, 2, 3), torch.rand(1, 3, 5, 32, 32)
        for name, ours, plain in (
            ("decode", torch.cat(list(FusedDecoder(network).stream(latents)), dim=2), network.decode(latents)),
            ("encode", FusedEncoder(network).encode(video), network.encode(video)),
        ):
            if not (error := float((ours - plain).abs().max() / plain.abs().max())) < 2e-5:
                yield name, kind, f"{error:.2e}"


if __name__ == "__main__":
    for number_type in (torch.float32, torch.float16, torch.bfloat16):
        for failure in cases("cpu", number_type, SHAPES):
            print(number_type, *failure)  # noqa: T201
    with patch.object(vae, "_use_triton", lambda _: True):
        for failure in differences_of_a_whole_clip():
            print(*failure)  # noqa: T201
