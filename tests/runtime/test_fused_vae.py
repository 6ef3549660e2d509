"""The autoencoder as a GPU runs it, here on the CPU: the same numbers, and no more memory than it needs."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests.models.reference import randomise, relative_error
from wanvideo.models.config import VAEConfig
from wanvideo.models.vae import WanVAE
from wanvideo.runtime.fused_vae import FusedDecoder, FusedEncoder, decode_stream, encode, prepare

KINDS = ("2.1", "2.2")


def small(kind: str, num_res_blocks: int = 1) -> WanVAE:
    torch.manual_seed(0)
    config = VAEConfig(
        z_dim=4,
        base_dim=4,
        decoder_base_dim=4,
        latent_mean=(0.1,) * 4,
        latent_std=(1.5,) * 4,
        num_res_blocks=num_res_blocks,
        pixel_patch=2 if kind == "2.2" else 1,
        shortcuts=kind == "2.2",
    )
    vae = WanVAE(config).eval().requires_grad_(False)
    randomise(vae)
    return vae


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("group", [1, 2, 3, 4])
def test_decoding_in_any_groups_is_what_the_model_does(kind: str, group: int) -> None:
    vae, latents = small(kind), torch.randn(2, 4, 4, 3, 5)
    expected = vae.decode(latents)
    chunks = list(FusedDecoder(prepare(vae), group=group).stream(latents))
    assert [chunk.shape[2] for chunk in chunks] == [1, 4, 4, 4]
    assert relative_error(torch.cat(chunks, dim=2), expected) < 2e-5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("frames", [1, 5, 13])
def test_encoding_is_what_the_model_does(kind: str, frames: int) -> None:
    vae, video = small(kind, num_res_blocks=2), torch.rand(2, 3, frames, 32, 48) * 2 - 1
    expected = vae.encode(video)
    assert relative_error(FusedEncoder(prepare(vae)).encode(video), expected) < 2e-5


@pytest.mark.parametrize("kind", KINDS)
def test_laying_out_the_weights_changes_no_number_and_no_name(kind: str) -> None:
    vae, latents = small(kind), torch.randn(1, 4, 2, 2, 2)
    before, expected = {name: value.clone() for name, value in vae.state_dict().items()}, vae.decode(latents)
    prepare(vae)
    assert {name: True for name in before} == {n: bool(v.equal(before[n])) for n, v in vae.state_dict().items()}
    torch.testing.assert_close(vae.decode(latents), expected)


def test_on_the_cpu_the_model_itself_runs() -> None:
    vae, latents, video = small("2.2"), torch.randn(1, 4, 2, 2, 2), torch.rand(1, 3, 5, 32, 32)
    assert torch.cat(list(decode_stream(vae, latents)), dim=2).equal(vae.decode(latents))
    assert encode(vae, video).equal(vae.encode(video))


class _Alive(TorchDispatchMode):
    """Counts the bytes of all storages that operations have made, and that still exist, after every operation."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = self.now = 0
        self.seen: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        import weakref

        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                key, size = storage._cdata, storage.nbytes()
                if key not in self.seen:
                    self.seen.add(key)
                    self.now += size
                    weakref.finalize(storage, self._free, key, size)
        self.peak = max(self.peak, self.now)
        return result

    def _free(self, key: int, size: int) -> None:
        self.seen.discard(key)
        self.now -= size
