from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wanvideo.weights.catalog import I2V_A14B, MODELS, T2V_A14B, TI2V_5B, WAN21_T2V_1_3B, ModelSpec
from wanvideo.weights.entry import ModelEntry
from wanvideo.weights.pick import Hardware, pick_variant

GIB = 2**30


def computer(*, gpu: float, host: float, disk: float = 1000) -> Hardware:
    """With memory and disk in GiB; gpu 0: none."""
    return Hardware(
        gpu=f"a {gpu} GiB card" if gpu else None,
        gpu_total=int(gpu * GIB),
        gpu_free=int(gpu * GIB),
        host_total=int(host * GIB),
        host_available=int(host * GIB),
        disk_free=int(disk * GIB),
    )


@pytest.mark.parametrize(
    ("model", "hardware", "variant"),
    [
        (T2V_A14B, computer(gpu=79.6, host=256), "fp32"),  # an H100
        (T2V_A14B, computer(gpu=79.6, host=256, disk=100), "fp16"),
        (T2V_A14B, computer(gpu=48, host=128), "fp8"),
        (T2V_A14B, computer(gpu=16, host=128), "fp8"),  # an RTX 4080 in the computer that this is made for
        (I2V_A14B, computer(gpu=16, host=64), "fp8"),
        (T2V_A14B, computer(gpu=16, host=64, disk=30), "q5_k_m"),
        (T2V_A14B, computer(gpu=12, host=32), "q6_k"),
        (T2V_A14B, computer(gpu=12, host=24), "q3_k_m"),
        (T2V_A14B, computer(gpu=8, host=16), "q3_k_m"),
        (T2V_A14B, computer(gpu=0, host=64), "fp8"),
        (TI2V_5B, computer(gpu=79.6, host=256), "fp32"),
        (TI2V_5B, computer(gpu=16, host=64), "fp16"),
        (TI2V_5B, computer(gpu=8, host=32), "q8_0"),
        (WAN21_T2V_1_3B, computer(gpu=8, host=16), "fp16"),
        (WAN21_T2V_1_3B, computer(gpu=0, host=16), "fp16"),
    ],
    ids=lambda value: value.id if isinstance(value, ModelEntry) else None,
)
def test_the_variant_suits_the_computer(model: ModelSpec, hardware: Hardware, variant: str) -> None:
    picked = pick_variant(model, hardware)
    assert picked.variant.id == variant, picked.reason


def test_the_reason_has_the_numbers() -> None:
    _, reason = pick_variant(T2V_A14B, computer(gpu=16, host=128))
    assert reason == "29 GB of weights fit into the 137 GB of memory, from where they go through a 16 GiB card"


def test_what_is_short_is_said() -> None:
    smallest, disk = pick_variant(T2V_A14B, computer(gpu=16, host=128, disk=10))
    assert (smallest.id, "only 11 GB of the disk are free" in disk) == ("q3_k_m", True)
    _, memory = pick_variant(T2V_A14B, computer(gpu=0, host=8))
    assert "8.6 GB of memory are little" in memory


def test_unknown_sizes_are_not_picked_unless_all_are() -> None:
    unknown = tuple(variant for variant in T2V_A14B.variants if variant.nbytes is None)
    assert pick_variant(replace(T2V_A14B, variants=unknown), computer(gpu=16, host=128)).variant is unknown[0]


@given(
    model=st.sampled_from([spec for spec in MODELS if spec.variants]),
    gpu=st.floats(0, 200),
    host=st.floats(1, 1000),
    disk=st.floats(0, 2000),
)
def test_any_computer_gets_a_variant_that_its_disk_takes_if_one_does(
    model: ModelSpec, gpu: float, host: float, disk: float
) -> None:
    hardware = computer(gpu=gpu, host=host, disk=disk)
    variant, reason = pick_variant(model, hardware)
    assert variant in model.variants
    assert reason
    sizes = [v.nbytes for v in model.variants if v.nbytes is not None]
    assert variant.nbytes is not None
    assert variant.nbytes <= hardware.disk_free or variant.nbytes == min(sizes)
