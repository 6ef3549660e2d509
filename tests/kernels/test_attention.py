import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from wanvideo.kernels import attention as attention_module
from wanvideo.kernels.attention import Backend, attention, fill_up


def heads(length: int, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(1, length, 2, 128, device=device, dtype=dtype)


def right(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    q, k, v = (t.float().transpose(1, 2) for t in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2)


def relative(got: Tensor, wanted: Tensor) -> float:
    return float((got.float() - wanted).norm() / wanted.norm())


@pytest.mark.parametrize(("logits", "most"), [(torch.int8, 0.04), (torch.float8_e4m3fn, 0.05)])
def test_attention_in_8_bits_is_near_attention(device: torch.device, logits: torch.dtype, most: float) -> None:
    from wanvideo.kernels.attention_triton import attention_8bit

    q, k, v = (heads(n, device, torch.bfloat16) for n in (150, 200, 200))
    k, v = k + 1, v + 0.5  # not all is centred in trained networks
    assert relative(attention_8bit(q, k, v, logits=logits), right(q, k, v)) < most


def test_keys_that_pad_hardly_change_anything() -> None:
    torch.manual_seed(0)
    q, k, v = heads(16), 3 * heads(1000), heads(1000)
    wanted = attention(q, k, v)
    padded = [F.pad(x, (0, 0, 0, 0, 0, 24), value=float("nan")) for x in (k, v)]
    assert relative(attention(q, *padded, length=1000), wanted) < 24 / 1000 / 4


def test_padding_changes_nothing_where_all_weights_are_even() -> None:
    q, k, v = torch.zeros(1, 4, 2, 128), heads(100), heads(100)
    keys, values = (F.pad(x, (0, 0, 0, 0, 0, 28)) for x in (k, v))
    fill_up(keys, values, length=100)
    torch.testing.assert_close(attention(q, keys, values), attention(q, k, v), atol=1e-6, rtol=0)


def test_values_in_key_order_are_values_in_another_order(device: torch.device) -> None:
    from wanvideo.kernels.attention_triton import quantize_values

    place = torch.arange(32, device=device)
    key = (place & ~14) | (place & 2) << 2 | (place & 12) >> 1  # what a thread of Hopper's has, place by place
    v = heads(150, device, torch.bfloat16)
    (plain, *rest), (ordered, *same) = quantize_values(v), quantize_values(v, in_key_order=True)
    assert all(map(torch.equal, rest, same))
    wanted = plain.view(torch.uint8).unflatten(2, (-1, 32))[..., key].flatten(2)
    assert torch.equal(ordered.view(torch.uint8), wanted)


def test_values_in_8_bits_keep_their_mean(device: torch.device) -> None:
    from wanvideo.kernels.attention_triton import quantize_values

    v = (heads(300, device) / 4 + torch.linspace(-9, 9, 128, device=device)).to(torch.bfloat16)
    values, scale, offset = quantize_values(v)
    found = values.float()[..., :300] * scale[..., None] + offset[..., None]
    wanted = v.float()[0].permute(1, 2, 0)
    torch.testing.assert_close(found.mean(-1), wanted.mean(-1), atol=1e-5, rtol=1e-5)
    assert relative(found - wanted.mean(-1, keepdim=True), wanted - wanted.mean(-1, keepdim=True)) < 0.08


def test_attention_for_hopper_compiles_without_a_gpu() -> None:
    pytest.importorskip("triton")
    ran = subprocess.run(
        [sys.executable, "-m", "tests.kernels.compile_hopper"],
        env={
            **{key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"},
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        },
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    bf16, fp8 = (json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{"))
    limit = 232_448  # bytes of shared memory that a block may have
    assert max(fp8["shared"], bf16["shared"]) < limit
    assert bf16["products"] == 2 * fp8["products"] > 0


PACKAGE = """import torch
def flash_attn_func(q, k, v):
    heads = [x.transpose(1, 2) for x in (q, k, v)]
    return torch.nn.functional.scaled_dot_product_attention(*heads).transpose(1, 2) * {factor}, None
"""


@pytest.mark.parametrize("name", ["flash_attn.cute", "flash_attn_interface"])
@pytest.mark.parametrize(("factor", "works"), [("1", True), ("1.1", False), ("q.missing", False)])
def test_a_package_that_is_installed_is_used_if_it_is_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, factor: str, works: bool
) -> None:
    backend = {"flash_attn.cute": Backend.FLASH4, "flash_attn_interface": Backend.FLASH3}[name]
    assert not attention_module._works.__wrapped__(backend, torch.device("cpu"))  # it is not there
    folder = tmp_path.joinpath(*name.split("."))
    folder.mkdir(parents=True)
    for package in (folder, *folder.relative_to(tmp_path).parents[:-1]):
        (tmp_path / package / "__init__.py").touch()
    (folder / "__init__.py").write_text(PACKAGE.format(factor=factor))
    monkeypatch.syspath_prepend(tmp_path)
    try:
        assert attention_module._works.__wrapped__(backend, torch.device("cpu")) == works
    finally:
        for module in [each for each in sys.modules if each.partition(".")[0] == name.partition(".")[0]]:
            del sys.modules[module]


@pytest.mark.gpu
@pytest.mark.parametrize(("name", "most"), [("attention_bf16", 0.004), ("attention_fp8", 0.06)])
@pytest.mark.parametrize(("batch", "length", "keys"), [(1, 1100, 1100), (1, 1280, 1333), (2, 1111, 1024), (3, 130, 90)])
def test_attention_for_hopper_is_attention(name: str, most: float, batch: int, length: int, keys: int) -> None:
    if torch.cuda.get_device_capability() != (9, 0):
        pytest.skip("for compute capability 9.0")
    from wanvideo.kernels import attention_hopper

    torch.manual_seed(0)
    q = torch.randn(batch, length, 3, 128, device="cuda", dtype=torch.bfloat16)
    # As views into what one merged product gives.
    k, v = torch.randn(batch, keys + 7, 2, 3, 128, device="cuda", dtype=torch.bfloat16)[:, :keys].unbind(2)
    k, v = k + 1, v[:, :, :, :]
    with torch.no_grad():
        assert relative(getattr(attention_hopper, name)(q, k, v), right(q, k, v)) < most


@pytest.mark.gpu
@pytest.mark.parametrize("hopper", [False, True])
def test_attention_in_8_bits_sums_up_what_many_keys_have_in_common(hopper: bool) -> None:
    if hopper and torch.cuda.get_device_capability() != (9, 0):
        pytest.skip("for compute capability 9.0")
    from wanvideo.kernels import attention_triton

    if hopper:
        from wanvideo.kernels.attention_hopper import attention_fp8 as attend
    else:
        attend = attention_triton.attention_8bit
    torch.manual_seed(0)
    keys, common = 32_768, torch.randn(3, 2, 128, device="cuda")
    seen = (torch.arange(keys, device="cuda") % 2 == 0)[:, None, None]  # half of the keys, by every query
    q = 1.2 * common[0] + 0.5 * torch.randn(128, 2, 128, device="cuda")
    k = torch.where(seen, common[0], -0.3 * common[0]) + 0.5 * torch.randn(keys, 2, 128, device="cuda")
    v = torch.where(seen, common[1], common[2]) + 0.3 * torch.randn(keys, 2, 128, device="cuda")
    q, k, v = (x[None].to(torch.bfloat16) for x in (q, k, v))
    with torch.no_grad():
        assert relative(attend(q, k, v), right(q, k, v)) < 0.02


@pytest.mark.gpu
def test_every_implementation_that_is_here_passes_its_own_test() -> None:
    from wanvideo.kernels.attention import _TOLERANCE, Backend, self_test

    device = torch.device("cuda")
    ours = [Backend.SDPA, Backend.EIGHT_BIT]
    if torch.cuda.get_device_capability() == (9, 0):
        ours += [Backend.HOPPER, Backend.HOPPER_8BIT]
    with torch.no_grad():
        assert all(self_test(backend, device) < _TOLERANCE[backend] for backend in ours)
