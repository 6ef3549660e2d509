"""Where everything goes, and what it takes: decided from sizes, so that it is tested without a GPU."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wanvideo.models import config as arch
from wanvideo.models.config import VAEConfig
from wanvideo.pipelines.architecture import architecture_in_catalog
from wanvideo.request import Phase, Tier
from wanvideo.runtime.architecture import Architecture, Work
from wanvideo.runtime.cost import block_compute, forward_flops, text_seconds
from wanvideo.runtime.machine import H100, PROFILES, predict, together
from wanvideo.runtime.memory_model import MemoryModel, decode_bytes
from wanvideo.runtime.placement import MemoryPlan, Placement, Source
from wanvideo.runtime.plan import plan
from wanvideo.runtime.tiles import Tiling
from wanvideo.runtime.vae_memory import weight_count
from wanvideo.weights.catalog import resolve

GIB = 2**30


def architecture(name: str, variant: str) -> Architecture:
    spec = resolve(name)
    return architecture_in_catalog(spec, next(each for each in spec.variants if each.id == variant))


A14B, A14B_FP8 = architecture("t2v-A14B", "fp16"), architecture("t2v-A14B", "fp8")
I2V, FIVE = architecture("i2v-A14B", "fp16"), architecture("ti2v-5B", "fp16")
AT_480 = Work(width=832, height=480, frames=81, steps=40)
AT_720 = Work(width=1280, height=720, frames=81, steps=40)
AT_704 = Work(width=1280, height=704, frames=121, steps=50)
CASES = {
    "A14B 480p": (A14B, AT_480),
    "A14B fp8 480p": (A14B_FP8, AT_480),
    "A14B 720p": (A14B, AT_720),
    "A14B fp8 720p": (A14B_FP8, AT_720),
    "I2V 720p": (I2V, replace(AT_720, encoded_frames=81)),
    "5B 704p": (FIVE, AT_704),
    "5B 704p, image": (FIVE, replace(AT_704, encoded_frames=1)),
}


def capped(cap: float | None, case: str, tier: Tier = Tier.EXACT, host: int = 256) -> MemoryPlan:
    """On an H100 of which `cap` GiB may be used, with `host` GiB of host memory available."""
    limit = None if cap is None else int(cap * GIB)
    machine = replace(PROFILES["h100"], memory_limit=limit, host_available=host * GIB)
    return plan(*CASES[case], machine, H100, tier=tier)


def shared_by(gpus: int, case: str = "A14B 720p", *, guided: bool = True) -> MemoryPlan:
    """On so many H100s with enough memory on the host."""
    architecture, work = CASES[case]
    machine = replace(PROFILES["h100"], host_available=2048 * GIB)
    return plan(architecture, replace(work, guided=guided), together(machine, gpus), H100)


# --- several GPUs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("guided", [True, False])
def test_more_gpus_take_less_time_and_no_more_memory(guided: bool) -> None:
    plans = [shared_by(gpus, guided=guided) for gpus in (1, 2, 4, 8)]
    for fewer, more in pairwise(plans):
        gain = fewer.phase(Phase.DENOISE).seconds / more.phase(Phase.DENOISE).seconds
        assert 1.7 < gain <= 2.001
        assert fewer.phase(Phase.DECODE).seconds > more.phase(Phase.DECODE).seconds
        assert more.phase(Phase.DENOISE).peak_bytes <= fewer.phase(Phase.DENOISE).peak_bytes
    assert [each.gpus for each in plans] == [1, 2, 4, 8]


def test_two_branches_on_two_gpus_exchange_next_to_nothing() -> None:
    one, two = (shared_by(gpus).phase(Phase.DENOISE).seconds for gpus in (1, 2))
    assert one / two == pytest.approx(2, rel=0.005)
    without = shared_by(2, guided=False).phase(Phase.DENOISE).seconds
    assert 2 * without > two  # half the forwards, whose tokens are exchanged in every block


def test_each_of_several_gpus_has_its_share_of_host_memory() -> None:
    machine = together(replace(PROFILES["h100"], host_available=100 * GIB), 4)
    assert machine.host_available == 25 * GIB
    assert together(PROFILES["h100"], 1) == PROFILES["h100"]


def test_weights_that_wait_in_host_memory_are_there_once_for_all_gpus() -> None:
    machine = replace(PROFILES["rtx-4080-128gb"], host_available=96 * GIB)
    one, two = (plan(*CASES["A14B 480p"], together(machine, gpus), H100) for gpus in (1, 2))
    assert one.pinned_bytes > 50 * GIB
    assert two.transformer.source is Source.PINNED  # which two copies would find no room for
    assert 2 * two.pinned_bytes == pytest.approx(one.pinned_bytes, abs=2)


def test_where_strips_are_put_together_is_host_memory_too() -> None:
    one, two = shared_by(1), shared_by(2)
    assert two.host_bytes - one.host_bytes == 4 * 720 * 1280 * 3  # two chunks of four frames, shared by two


# --- sizes and times, against what was counted and measured ----------------------------------------------------------


@pytest.mark.parametrize(("case", "petaflops"), [("A14B 480p", 1.678), ("A14B 720p", 6.523), ("5B 704p", 0.517)])
def test_operations_are_those_that_were_counted(case: str, petaflops: float) -> None:
    assert forward_flops(*CASES[case]) / 1e15 == pytest.approx(petaflops, rel=0.01)
    assert text_seconds(A14B, AT_480, tflops=1) == pytest.approx(2 * 4.84, rel=0.01)


@pytest.mark.parametrize(
    ("case", "tier", "seconds"),
    [
        ("A14B 480p", Tier.EXACT, (2.607, 2.639, 2.632)),
        ("A14B 720p", Tier.EXACT, (10.25, 10.29)),
        ("5B 704p", Tier.EXACT, (0.839, 0.827, 0.845)),
        ("A14B 480p", Tier.FAST, (1.986,)),
        ("5B 704p", Tier.FAST, (0.624,)),
    ],
)
def test_an_h100_is_predicted_to_take_what_it_was_measured_to_take(
    case: str, tier: Tier, seconds: tuple[float, ...]
) -> None:
    """One forward, on each card that was measured: docs/performance.md."""
    _, work = CASES[case]
    predicted = capped(None, case, tier).phase(Phase.DENOISE).seconds / work.forwards
    assert predicted == pytest.approx(sum(seconds) / len(seconds), rel=0.03)


@pytest.mark.parametrize(
    ("case", "tier", "times"),
    [
        ("A14B 480p", Tier.EXACT, 1.050),
        ("5B 704p", Tier.EXACT, 1.061),
        ("A14B 480p", Tier.FAST, 1.071),
        ("5B 704p", Tier.FAST, 1.096),
    ],
)
def test_a_lora_is_predicted_to_cost_what_it_was_measured_to_cost(case: str, tier: Tier, times: float) -> None:
    """One of rank 64 on all matrices, on an H100: docs/performance.md."""
    model, work = CASES[case]
    alone, beside = (block_compute(model, replace(work, lora_bytes=n), tier, H100) for n in (0, 613_000_000))
    assert beside / alone == pytest.approx(times, abs=0.03)


def test_rounding_to_8_bits_takes_longer_than_the_norms_alone() -> None:
    """Of A14B at 832x480 on an H100: 0.15 and 0.19 s, profiled."""
    exact, fast = (
        block_compute(A14B, AT_480, tier, replace(H100, bf16_tflops=1e9, fp8_tflops=1e9, attention_tflops=1e9,
                      attention_8bit_tflops=1e9))
        for tier in (Tier.EXACT, Tier.FAST)
    )  # fmt: skip
    assert A14B.blocks * exact == pytest.approx(0.15, rel=0.02)
    assert A14B.blocks * fast == pytest.approx(0.19, rel=0.03)


def test_weights_have_the_sizes_of_the_published_files() -> None:
    weights = A14B.block.times(40).nbytes(2) + A14B.rest.nbytes(2)
    # Beside 2 bytes for each parameter: those that stay in float32.
    assert weights - 2 * A14B.rest.fp32 == 2 * 14_288_491_584
    assert A14B.text_encoder_bytes() == 2 * 5_680_910_336
    assert A14B.slab(Tier.EXACT) == pytest.approx(702.7e6, rel=1e-3)
    assert A14B.slab(Tier.FAST) == pytest.approx(404.1e6, rel=1e-3)
    assert A14B_FP8.slab(Tier.EXACT) == pytest.approx(351.6e6, rel=1e-3)
    assert FIVE.stored_bytes == pytest.approx(22.8e9, rel=0.01)


@pytest.mark.parametrize(
    ("config", "height", "width", "gib"),
    [(arch.VAE_2_1, 480, 832, 2.47), (arch.VAE_2_1, 720, 1280, 5.34), (arch.VAE_2_2, 704, 1280, 5.60)],
)
def test_a_decode_takes_about_what_was_measured(config: VAEConfig, height: int, width: int, gib: float) -> None:
    """With its weights, docs/performance.md."""
    weights = 2 * weight_count(config) / GIB
    assert weights + decode_bytes(config, height, width, "bfloat16", None) / GIB == pytest.approx(gib, rel=0.01)


# --- the table -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "cap", "resident", "text", "tiles"),
    [
        ("A14B 480p", 8, 3, Placement.STREAMED, None),
        ("A14B 480p", 12, 9, Placement.RESIDENT, None),
        ("A14B 480p", 16, 15, Placement.RESIDENT, None),
        ("A14B 480p", 24, 27, Placement.RESIDENT, None),
        ("A14B fp8 480p", 8, 9, Placement.RESIDENT, None),
        ("A14B fp8 480p", 16, 33, Placement.RESIDENT, None),
        ("A14B fp8 480p", 24, 40, Placement.RESIDENT, None),
        ("A14B 720p", 12, 5, Placement.RESIDENT, None),
        ("A14B 720p", 16, 11, Placement.RESIDENT, None),
        ("A14B 720p", 24, 22, Placement.RESIDENT, None),
        ("5B 704p", 8, 15, Placement.STREAMED, "672x704"),
        ("5B 704p", 12, 30, Placement.RESIDENT, None),
        ("5B 704p", 16, 30, Placement.RESIDENT, None),
        ("5B 704p", 24, 30, Placement.RESIDENT, None),
    ],
)
def test_placement_by_memory(case: str, cap: int, resident: int, text: Placement, tiles: str | None) -> None:
    decided = capped(cap, case)
    assert decided.fits
    assert not decided.keep_all
    blocks = decided.transformer
    # The last digit hangs on coefficients that are being calibrated.
    assert abs(blocks.resident - resident) <= 1
    assert blocks.resident + blocks.streamed == CASES[case][0].blocks
    assert blocks.buffers == (2 if blocks.streamed else 0)
    assert blocks.source is Source.PINNED
    assert (decided.text_encoder.placement, decided.vae.device) == (text, "cuda")
    assert (decided.vae.tiles and str(decided.vae.tiles)) == tiles


@pytest.mark.parametrize("case", ["A14B 480p", "A14B fp8 480p", "A14B fp8 720p", "5B 704p"])
def test_80_gb_hold_everything(case: str) -> None:
    decided = capped(None, case)
    assert decided.keep_all
    assert decided.text_encoder.keep
    assert decided.transformer.streamed == decided.transformer.buffers == decided.pinned_bytes == 0
    assert decided.transformer.source is Source.PINNED  # if memory runs out nevertheless


@pytest.mark.parametrize(
    ("case", "tier", "source"),
    [
        ("A14B 480p", Tier.EXACT, Source.MAPPED),
        ("A14B 480p", Tier.FAST, None),  # what is rounded while it is loaded cannot wait in its file
        ("A14B fp8 480p", Tier.FAST, Source.MAPPED),
    ],
)
def test_where_blocks_could_wait_with_little_host_memory(case: str, tier: Tier, source: Source | None) -> None:
    model, work = CASES[case]
    little = replace(PROFILES["h100"], host_total=24 * GIB, host_available=22 * GIB)
    decided = plan(model, work, little, H100, tier=tier)
    assert decided.keep_all
    assert decided.fits
    assert decided.transformer.source is source


def test_720p_in_8_gib_is_too_much_and_the_plan_says_by_how_much() -> None:
    decided = capped(8, "A14B 720p")
    assert not decided.fits
    assert 0.2 < decided.short_bytes / GIB < 1
    assert any("too little" in note for note in decided.notes)
    assert capped(8 + decided.short_bytes / GIB + 0.1, "A14B 720p").fits


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("tier", Tier)
@pytest.mark.parametrize("cap", [8, 10, 12, 16, 24, 32, 48, None])
def test_no_predicted_peak_exceeds_the_cap_less_the_margin(case: str, tier: Tier, cap: int | None) -> None:
    decided = capped(cap, case, tier)
    if decided.fits:
        assert decided.peak_bytes * 1.03 <= decided.cap_bytes + 1
        assert decided.cap_bytes <= (cap or 79.2) * GIB


def test_the_tier_is_never_chosen_for_the_user() -> None:
    for cap in (1, 8, 16, None):
        for tier in Tier:
            assert capped(cap, "A14B 720p", tier).tier is tier


def test_the_fast_tier_halves_what_is_streamed_and_decodes_in_16_bits() -> None:
    exact, fast = (capped(16, "A14B 480p", tier) for tier in (Tier.EXACT, Tier.FAST))
    assert fast.transformer.streamed < exact.transformer.streamed
    assert fast.seconds < exact.seconds
    assert (exact.vae.dtype, fast.vae.dtype) == ("float32", "bfloat16")


# --- host memory -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "profile", "source"),
    [
        ("A14B 480p", "rtx-4080-128gb", Source.PINNED),
        ("A14B 480p", "rtx-4080-64gb", Source.MAPPED),
        ("A14B fp8 480p", "rtx-4080-64gb", Source.PINNED),
        ("5B 704p", "rtx-4080-64gb", Source.PINNED),
    ],
)
def test_both_experts_are_pinned_if_host_memory_has_room(case: str, profile: str, source: Source) -> None:
    machine = PROFILES[profile]
    decided = plan(*CASES[case], machine, predict(machine))
    assert decided.fits
    assert decided.transformer.source is source
    assert decided.host_bytes <= machine.host_available - 8 * GIB
    assert any("read from the disk" in note for note in decided.notes) == (source is Source.MAPPED)
    assert "predicted" in decided.rates


@pytest.mark.parametrize(
    ("profile", "precision", "remedy"),
    [
        ("rtx-4080-64gb", "fp16", "fp8"),
        ("rtx-4080-64gb", "fp8", None),
        ("rtx-3090", "fp16", "int8"),
        ("rtx-3090", "fp8", "int8"),
        ("rtx-3090", "int8", None),
    ],
)
def test_weights_that_are_rounded_while_they_are_loaded_need_host_memory(
    profile: str, precision: str, remedy: str | None
) -> None:
    architecture = A14B if precision == "fp16" else replace(A14B_FP8, precision=precision)
    machine = replace(PROFILES[profile], host_available=24 * GIB)
    decided = plan(architecture, AT_720, machine, predict(machine), tier=Tier.FAST)
    assert decided.transformer.source is Source.MAPPED
    assert decided.fits == (remedy is None)
    if remedy is None:
        assert decided.remedy is None
    else:
        assert f"wan models convert t2v-A14B FOLDER --dtype {remedy}" in (decided.remedy or "")
        assert "of disk" in (decided.remedy or "")
        assert "rounds" in " ".join(decided.notes)
    roomy = replace(machine, host_available=64 * GIB)
    assert plan(architecture, AT_720, roomy, predict(roomy), tier=Tier.FAST).fits
    assert plan(architecture, AT_720, machine, predict(machine)).fits


def test_streaming_takes_the_longer_of_computing_and_copying() -> None:
    machine = replace(PROFILES["h100"], memory_limit=10 * GIB)
    free, slow = (plan(A14B, AT_480, machine, replace(H100, h2d_gbs=gbs)) for gbs in (54.6, 5.0))
    copy = A14B.slab(Tier.EXACT) / 5e9
    added = slow.transformer.streamed * AT_480.forwards * copy
    assert free.phase(Phase.DENOISE).seconds == pytest.approx(
        capped(None, "A14B 480p").phase(Phase.DENOISE).seconds, 0.01
    )
    assert slow.phase(Phase.DENOISE).seconds > added
    assert any("longer than to compute" in note for note in slow.notes)


# --- other estimates, other machines ---------------------------------------------------------------------------------


def test_the_memory_of_a_decode_is_asked_of_whoever_knows_it() -> None:
    def huge(config: VAEConfig, height: int, width: int, dtype: str, tiles: Tiling | None) -> int:
        return 100 * GIB

    decided = plan(A14B, AT_480, PROFILES["h100"], H100, decoding=huge)
    assert decided.vae.device == "cpu"
    assert decided.fits
    assert decided.host_bytes > 100 * GIB
    small = replace(PROFILES["h100"], host_available=100 * GIB)
    assert plan(A14B, AT_480, small, H100, decoding=huge).short_bytes > 0


def test_coefficients_can_be_replaced_by_measured_ones() -> None:
    machine = replace(PROFILES["h100"], memory_limit=12 * GIB)
    more, usual = (plan(A14B, AT_720, machine, H100, model=MemoryModel(attention_per_dim=n)) for n in (20, 14))
    assert usual.transformer.resident > more.transformer.resident


def test_without_a_gpu_everything_is_in_host_memory() -> None:
    machine = replace(PROFILES["rtx-4080-64gb"], gpu=None, capability=None, gpu_total=0, gpu_free=0)
    decided = plan(FIVE, AT_704, machine, predict(machine))
    assert (decided.device, decided.vae.device) == ("cpu", "cpu")
    assert decided.text_encoder.placement is Placement.CPU
    assert decided.peak_bytes == decided.host_bytes
    assert decided.short_bytes == max(0, decided.host_bytes - machine.host_available)


def test_a_note_of_the_machine_stays_in_the_plan() -> None:
    machine = replace(PROFILES["h100"], notes=("2 GPUs are here",))
    for limit in (12 * GIB, None):
        assert "2 GPUs are here" in plan(A14B, AT_480, replace(machine, memory_limit=limit), H100).notes


def test_a_cuda_context_that_is_there_is_not_counted_twice() -> None:
    machine = PROFILES["rtx-4090"]
    fresh, running = (plan(A14B, AT_480, replace(machine, has_context=there), H100) for there in (False, True))
    assert running.cap_bytes - fresh.cap_bytes == MemoryModel().context


# --- properties ------------------------------------------------------------------------------------------------------

CAPS = st.integers(1, 90 * 1024)  # MiB
WORK = st.builds(
    Work,
    width=st.integers(4, 40).map(lambda n: 32 * n),
    height=st.integers(4, 22).map(lambda n: 32 * n),
    frames=st.integers(0, 40).map(lambda n: 4 * n + 1),
    steps=st.integers(1, 50),
    guided=st.booleans(),
    encoded_frames=st.sampled_from([0, 1]),
    lora_bytes=st.sampled_from([0, 600_000_000]),
)
MODELS = st.sampled_from([A14B, A14B_FP8, I2V, FIVE])


def on(model: Architecture, work: Work, mib: int, host_gib: int = 128, tier: Tier = Tier.EXACT) -> MemoryPlan:
    total = mib * 2**20
    machine = replace(PROFILES["h100"], gpu_total=total, gpu_free=total, host_available=host_gib * GIB)
    return plan(model, work, machine, H100, tier=tier)


@given(MODELS, WORK, CAPS, st.integers(1, 256), st.sampled_from(Tier))
def test_a_plan_is_whole_and_keeps_to_the_cap(model: Architecture, work: Work, mib: int, host: int, tier: Tier) -> None:
    decided = on(model, work, mib, host, tier)
    blocks = decided.transformer
    assert blocks.resident + blocks.streamed == model.blocks
    assert blocks.buffers in (0, 2, 3)
    assert (blocks.buffers > 0) == (blocks.streamed > 0)
    assert blocks.buffers <= max(2, blocks.streamed)
    assert [each.phase for each in decided.phases] == [Phase.LOAD, Phase.ENCODE, Phase.DENOISE, Phase.DECODE]
    assert all(each.peak_bytes >= 0 and each.seconds >= 0 for each in decided.phases)
    assert not decided.fits or decided.peak_bytes <= decided.cap_bytes
    assert decided.fits or decided.peak_bytes * 1.04 >= decided.cap_bytes or decided.host_bytes > host * GIB


def decode_work(decided: MemoryPlan, work: Work) -> float:
    return 1 if decided.vae.tiles is None else decided.vae.tiles.work(work.height, work.width)


@given(MODELS, WORK, CAPS, CAPS, st.sampled_from([24, 64, 256]))
def test_more_gpu_memory_never_streams_more(model: Architecture, work: Work, one: int, two: int, host: int) -> None:
    less, more = (on(model, work, mib, host) for mib in sorted((one, two)))
    assert more.transformer.streamed <= less.transformer.streamed
    assert more.fits >= less.fits
    assert more.keep_all >= less.keep_all
    if less.vae.device == "cuda":
        assert more.vae.device == "cuda"
        assert decode_work(more, work) <= decode_work(less, work)


@given(MODELS, WORK, CAPS, st.integers(1, 256), st.integers(1, 256))
def test_more_host_memory_never_streams_more(model: Architecture, work: Work, mib: int, one: int, two: int) -> None:
    less, more = (on(model, work, mib, host) for host in sorted((one, two)))
    assert more.transformer.streamed <= less.transformer.streamed
    assert more.seconds <= less.seconds * 1.001


@given(MODELS, WORK, CAPS)
def test_a_shorter_clip_never_needs_more(model: Architecture, work: Work, mib: int) -> None:
    longer = replace(work, frames=work.frames + 4)
    assert on(model, work, mib).fits >= on(model, longer, mib).fits
