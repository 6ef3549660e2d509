"""The computer that a plan is made for: what it has and how fast it is. Values, and named machines. No torch."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from wanvideo.errors import InvalidRequest

GIB: Final = 2**30
OLDEST: Final = (7, 5)  # Turing: the first with tensor cores for 8-bit integers, and the oldest that CUDA 13 supports
FLOAT8: Final = (8, 9)  # Ada: the first that multiplies 8-bit floats
BF16: Final = (8, 0)  # Ampere


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What there is to run on, in bytes."""

    gpu: str | None = None  # the name of the one that is used; None: the CPU does everything
    index: int = 0  # of that GPU, as CUDA counts
    capability: tuple[int, int] | None = None
    gpu_total: int = 0
    gpu_free: int = 0
    has_context: bool = False  # `gpu_free` is what is left beside this process's CUDA context
    memory_limit: int | None = None  # of GPU memory, set by the user
    gpus: int = 1  # alike, that make one video together: bytes are those of each, and its share of the host's
    host_total: int
    host_available: int
    driver: str | None = None
    predicted: bool = False  # from a datasheet: this computer is another one
    notes: tuple[str, ...] = ()  # what was found and is not used, and why

    @property
    def device(self) -> str:
        return "cpu" if self.gpu is None else f"cuda:{self.index}"

    @property
    def has_fp8(self) -> bool:
        return self.capability is not None and self.capability >= FLOAT8

    @property
    def has_bf16(self) -> bool:
        """Whether the GPU multiplies bfloat16. Before Ampere none does, and none runs our kernels."""
        return self.capability is None or self.capability >= BF16

    @property
    def eight_bit(self) -> str:
        """How a model is stored that the tier fast takes as it is: "fp8" or, before Ada, "int8"."""
        return "fp8" if self.has_fp8 else "int8"


def together(machine: Machine, gpus: int) -> Machine:
    """One of `gpus` like that of `machine`, which make a video together."""
    if gpus == 1:
        return machine
    note = f"{gpus} GPUs make the video together: memory is that of each, and its share of the host's"
    return replace(machine, gpus=gpus, host_available=machine.host_available // gpus, notes=(*machine.notes, note))


# --- named machines --------------------------------------------------------------------------------------------------


def _card(name: str, capability: tuple[int, int], gpu: float, host: float) -> Machine:
    """`gpu` and `host` memory in GiB, as sold. A desktop and the system take their share before we come."""
    total = int(gpu * GIB)
    return Machine(
        gpu=name,
        capability=capability,
        gpu_total=total,
        gpu_free=total - GIB // 2,
        host_total=int(host * GIB),
        host_available=int((host - 4) * GIB),
        predicted=True,
    )


_RTX_4080: Final = ("NVIDIA GeForce RTX 4080", (8, 9), 16)
PROFILES: Final[Mapping[str, Machine]] = MappingProxyType(
    {
        "rtx-4080-128gb": _card(*_RTX_4080, 128),
        "rtx-4080-64gb": _card(*_RTX_4080, 64),
        "rtx-4090": _card("NVIDIA GeForce RTX 4090", (8, 9), 24, 64),
        "rtx-3090": _card("NVIDIA GeForce RTX 3090", (8, 6), 24, 64),
        # 79.2 GiB are what the driver gives of the 80 GB.
        "h100": _card("NVIDIA H100 80GB HBM3", (9, 0), 79.2, 256),
    }
)


def profile(name: str) -> Machine:
    """A named machine. Raises InvalidRequest, with the names that there are."""
    found = PROFILES.get(name.strip().casefold().replace("_", "-").replace(" ", "-"))
    if found is None:
        names = ", ".join(PROFILES)
        raise InvalidRequest(f"no machine is called {name!r:.60}: there is {names}", suggestions=tuple(PROFILES))
    return found


# --- how fast --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Rates of one computer. TFLOP/s count a multiplication and an addition as two; GB/s are 10^9 bytes."""

    name: str  # of the GPU or the processor
    measured: bool  # on such a card; else predicted
    bf16_tflops: float  # linear layers of the transformers in the exact tier; on a CPU, float32
    fp8_tflops: float  # the same in the fast tier: float8, or int8 where there is none; as bf16 on a CPU
    attention_tflops: float
    attention_8bit_tflops: float
    memory_gbs: float  # device memory, read and written
    h2d_gbs: float  # from pinned host memory to the GPU
    link_gbs: float  # from each GPU to others of the host, while it receives as much
    vae_tflops: float  # a decode by autoencoder 2.1 in 16 bits, from end to end
    disk_gbs: float
    cpu_tflops: float = 0.5  # float32 matrix products of the processor

    @property
    def origin(self) -> str:
        """For whom the numbers hold, in words."""
        return f"measured on {self.name}" if self.measured else f"predicted for {self.name}, not measured"


# NVIDIA H100 80GB HBM3, PyTorch 2.11, 2026-11: as our own kernels run in whole forwards of A14B at 832x480, profiled
# (exact: 1.05 s in products, 1.42 s in attention; fast: 0.552 and 1.215 s), which gives the seconds of both tiers and
# of the other shapes within 4 % (docs/performance.md); pinned copies; our decode of 121 x 704 x 1280 (2011 TFLOP in
# 3.05 s), by the gain of its width below.
H100: Final = Calibration(
    name="NVIDIA H100 80GB HBM3",
    measured=True,
    bf16_tflops=746,
    fp8_tflops=1430,
    attention_tflops=629,
    attention_8bit_tflops=740,
    memory_gbs=2950,
    h2d_gbs=54.6,
    link_gbs=300,  # measured with 2 of them, and 0.58 GB from each
    vae_tflops=275,
    disk_gbs=2.0,  # no source: a network disk
    cpu_tflops=1.0,
)


def _predicted(name: str, *, bf16: float, eight_bit: float, memory: float, has_fp8: bool = True) -> Calibration:
    """From the dense peaks of a GeForce's datasheet, PCIe 4.0 x16 and an NVMe disk.

    Three quarters of the peak are what large matrices reach; attention in 16 bits reaches nine tenths of that, and in 8
    bits gains 1.6 where there is float8. For the decode, the share of what linear layers reach is an H100's.
    """
    linear = 0.75 * bf16
    attention = 0.9 * linear
    return Calibration(
        name=name,
        measured=False,
        bf16_tflops=linear,
        fp8_tflops=0.75 * eight_bit,
        attention_tflops=attention,
        attention_8bit_tflops=1.6 * attention if has_fp8 else attention,
        memory_gbs=0.85 * memory,
        h2d_gbs=24,
        link_gbs=12,  # a GeForce reaches another one through host memory, which is two copies
        vae_tflops=linear * H100.vae_tflops / H100.bf16_tflops,
        disk_gbs=3,
        cpu_tflops=1.0,
    )


# Datasheets: NVIDIA Ada and Ampere GA102 architecture whitepapers, dense rates with float32 accumulation.
KNOWN: Final[Mapping[str, Calibration]] = MappingProxyType(
    {
        calibration.name: calibration
        for calibration in (
            H100,
            _predicted("NVIDIA GeForce RTX 4080", bf16=97.5, eight_bit=195, memory=716),
            _predicted("NVIDIA GeForce RTX 4080 SUPER", bf16=104, eight_bit=209, memory=736),
            _predicted("NVIDIA GeForce RTX 4090", bf16=165, eight_bit=330, memory=1008),
            _predicted("NVIDIA GeForce RTX 3090", bf16=71, eight_bit=284, memory=936, has_fp8=False),
        )
    }
)


def predict(machine: Machine) -> Calibration:
    """Without a measurement: what is known of the card, else a guess by its generation, on the slow side."""
    if machine.gpu is None:
        return cpu_calibration(platform.processor() or platform.machine() or "this CPU", tflops=0.2, measured=False)
    if known := KNOWN.get(machine.gpu):
        return known
    return _predicted(machine.gpu, bf16=40, eight_bit=80, memory=400, has_fp8=machine.has_fp8)


def cpu_calibration(name: str, *, tflops: float, measured: bool, attention: float | None = None) -> Calibration:
    """Everything on the processor, in float32; there are no 8-bit kernels for it."""
    attention = attention or tflops / 2
    return Calibration(
        name=name,
        measured=measured,
        bf16_tflops=tflops,
        fp8_tflops=tflops,
        attention_tflops=attention,
        attention_8bit_tflops=attention,
        memory_gbs=20,
        h2d_gbs=10,
        link_gbs=10,
        vae_tflops=tflops / 2,
        disk_gbs=1,
        cpu_tflops=tflops,
    )
