"""What the machine can do: matrix products, attention, copies. Everything else is held against these.

Each rate is measured once a run, when it is first asked for.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.speed.adapters import backend_in_use
from benchmarks.speed.clock import measure
from benchmarks.speed.record import SkipPart
from wanvideo.kernels.attention import EXACT, FAST, LONG, Backend, attention, attention_backends
from wanvideo.request import Tier

if TYPE_CHECKING:
    from benchmarks.speed.bench import Bench

# The engine's own, and packages that it uses where they are installed.
EIGHT_BIT: Final = tuple(backend for backend in FAST if backend not in EXACT)
OURS: Final = tuple(backend for backend in FAST if backend is not Backend.SDPA)
ATTENTION: Final = {"flash": SDPBackend.FLASH_ATTENTION, "cuDNN": SDPBackend.CUDNN_ATTENTION}
PART: Final = "ceilings"
COPY_BYTES: Final = 2**30


class Ceilings:
    """Measured rates: FLOP/s of products and attention, bytes/s of copies. SkipPart where something does not run."""

    def __init__(self, device: torch.device, repeats: int) -> None:
        self.device, self.repeats = device, repeats
        self._rates: dict[tuple[object, ...], float | str] = {}

    def product(self, kind: str, m: int, k: int, n: int) -> float:
        """FLOP/s of [m, k] x [k, n]. kind: "native" (bf16; float32 on a CPU), "fp8" (scales for each row), "int8"."""
        return self._rate((kind, m, k, n), 2.0 * m * k * n, lambda: self._multiply(kind, m, k, n))

    def attention(self, backend: str, heads: int, head_dim: int, tokens: int) -> float:
        """FLOP/s of full self-attention. backend: one of `backends`."""
        flop = 4.0 * tokens**2 * heads * head_dim
        key = (backend, heads, head_dim, tokens)
        return self._rate(key, flop, lambda: self._attend(backend, heads, head_dim, tokens))

    def best_attention(self, tier: Tier, heads: int, head_dim: int, tokens: int) -> float:
        """Of the backends that run here: in the tier fast of those in 8 bits, if any does."""
        if tier is Tier.FAST:
            try:
                return self._best(EIGHT_BIT, heads, head_dim, tokens)
            except SkipPart:
                pass
        return self._best([name for name in self.backends if name not in EIGHT_BIT], heads, head_dim, tokens)

    def _best(self, backends: Sequence[str], heads: int, head_dim: int, tokens: int) -> float:
        rates = []
        for backend in backends:
            try:
                rates.append(self.attention(backend, heads, head_dim, tokens))
            except SkipPart:
                continue
        if not rates:
            raise SkipPart("no attention backend runs here")
        return max(rates)

    @property
    def backends(self) -> tuple[str, ...]:
        return (*ATTENTION, *map(str, OURS)) if self.device.type == "cuda" else ("default",)

    def copy(self, kind: str, nbytes: int) -> float:
        """Bytes/s. kind: "device" (read and written both count), "to device" (from page-locked memory), "to host"."""
        moved = 2.0 * nbytes if kind == "device" else float(nbytes)
        return self._rate((kind, nbytes), moved, lambda: self._copy(kind, nbytes))

    def _rate(self, key: tuple[object, ...], work: float, prepare: Callable[[], Callable[[], object]]) -> float:
        if key not in self._rates:
            try:
                self._rates[key] = work / measure(prepare(), self.device, repeats=self.repeats).seconds
            except (RuntimeError, SkipPart) as error:  # PyTorch says so where a kernel is missing
                self._rates[key] = str(error).splitlines()[0]
        rate = self._rates[key]
        if isinstance(rate, str):
            raise SkipPart(rate)
        return rate

    def _multiply(self, kind: str, m: int, k: int, n: int) -> Callable[[], object]:
        """Both factors as a Linear has them: each row along k."""
        if kind == "native":
            dtype = torch.bfloat16 if self.device.type == "cuda" else torch.float32
            x, weight = (torch.randn(rows, k, device=self.device, dtype=dtype) for rows in (m, n))
            return lambda: F.linear(x, weight)
        if self.device.type != "cuda":
            raise SkipPart("8-bit products are measured on GPUs only")
        if kind == "int8":
            a, b = (torch.randint(-9, 9, (rows, k), device=self.device, dtype=torch.int8) for rows in (m, n))
            return lambda: torch._int_mm(a, b.T)
        if torch.cuda.get_device_capability(self.device) < (8, 9):
            raise SkipPart("float8 products need compute capability 8.9")
        x8, w8 = (self._float8(rows, k) for rows in (m, n))
        x_scale, w_scale = torch.ones(m, 1, device=self.device), torch.ones(1, n, device=self.device)
        return lambda: torch._scaled_mm(
            x8, w8.T, scale_a=x_scale, scale_b=w_scale, out_dtype=torch.bfloat16, use_fast_accum=True
        )

    def _float8(self, rows: int, columns: int) -> Tensor:
        wide = torch.randn(rows, columns, device=self.device, dtype=torch.bfloat16)
        return wide.to(torch.float8_e4m3fn)

    def _attend(self, backend: str, heads: int, head_dim: int, tokens: int) -> Callable[[], object]:
        dtype = torch.bfloat16 if self.device.type == "cuda" else torch.float32
        # Tokens before heads in memory, as projections leave them.
        q, k, v = (
            torch.randn(1, tokens, heads, head_dim, device=self.device, dtype=dtype).transpose(1, 2) for _ in range(3)
        )
        if backend == "default":
            return lambda: F.scaled_dot_product_attention(q, k, v)
        if backend in OURS:
            return self._ours(Backend(backend), *(x.transpose(1, 2) for x in (q, k, v)))

        def attend() -> Tensor:
            with sdpa_kernel(ATTENTION[backend]):
                return F.scaled_dot_product_attention(q, k, v)

        return attend

    def _ours(self, backend: Backend, q: Tensor, k: Tensor, v: Tensor) -> Callable[[], object]:
        """As the engine calls it. Raises SkipPart where the engine would not."""
        if backend_in_use((backend,), self.device) is not backend or k.shape[1] < LONG or k.shape[3] != 128:
            raise SkipPart(f"attention by {backend} does not run here")

        def attend() -> Tensor:
            with attention_backends(backend), torch.inference_mode():
                return attention(q, k, v)

        return attend

    def _copy(self, kind: str, nbytes: int) -> Callable[[], object]:
        if kind == "device":
            source = torch.zeros(nbytes, dtype=torch.uint8, device=self.device)
            target = torch.empty_like(source)
        elif self.device.type != "cuda":
            raise SkipPart("there is no GPU to copy to")
        else:
            locked = torch.zeros(nbytes, dtype=torch.uint8, pin_memory=True)
            there = torch.zeros(nbytes, dtype=torch.uint8, device=self.device)
            source, target = (locked, there) if kind == "to device" else (there, locked)
        return lambda: target.copy_(source, non_blocking=True)


def run(bench: "Bench") -> None:
    """Rows for the table: the usual square product, then the layers and attentions of the shapes."""
    ceilings = bench.ceilings
    side = 64 if bench.tiny else 8192 if bench.on_gpu else 1024
    sizes = [(side, side, side)]
    for shape in bench.shapes:
        sizes += [(shape.tokens, shape.config.dim, n) for n in (shape.config.dim, shape.config.ffn_dim)]
    for m, k, n in dict.fromkeys(sizes):
        for kind in ("native", "fp8", "int8"):
            subject = {"native": str(bench.dtype).removeprefix("torch.")}.get(kind, kind)
            with bench.case(PART, f"product {m} x {k} x {n}", subject) as row:
                row["tflop_per_s"] = ceilings.product(kind, m, k, n) / 1e12
    attentions = [(shape.config.num_heads, shape.config.head_dim, shape.tokens) for shape in bench.shapes]
    if not bench.tiny and bench.on_gpu:
        attentions.append((40, 128, 32_768))  # beside 32,760: what a length that is no multiple of 128 costs
    for heads, head_dim, tokens in dict.fromkeys(attentions):
        for backend in ceilings.backends:
            with bench.case(PART, f"attention {heads} x {head_dim}, L = {tokens}", backend) as row:
                row["tflop_per_s"] = ceilings.attention(backend, heads, head_dim, tokens) / 1e12
    nbytes = COPY_BYTES if bench.on_gpu else 2**16 if bench.tiny else 2**27
    for kind in ("device", "to device", "to host"):
        with bench.case(PART, f"copy {kind}", "machine") as row:
            row["gb_per_s"] = ceilings.copy(kind, nbytes) / 1e9
