"""What to download of a model, and what it takes in its place."""

from dataclasses import replace
from pathlib import Path

import pytest

import wanvideo
from tests.hub.loopback import LoopbackHub
from tests.hub.scene import contents, shard, snapshot
from wanvideo.errors import DownloadNotFound, InvalidRequest, ModelMissing, UnknownVariant
from wanvideo.families.obtain import choices, files_of, obtain, offer, total_bytes, with_offer
from wanvideo.weights.catalog import T2V_A14B, T2V_A14B_DEMO, T2V_A14B_LIGHTNING
from wanvideo.weights.download.events import Downloaded, FellBack, Planned
from wanvideo.weights.download.hub import Hub
from wanvideo.weights.pick import Hardware
from wanvideo.weights.places import Places
from wanvideo.weights.variants import Part, RemoteFiles, Variant

HOME = Hardware(
    gpu="RTX 4080",
    gpu_total=16 << 30,
    gpu_free=15 << 30,
    host_total=128 << 30,
    host_available=120 << 30,
    disk_free=900 << 30,
)
REPO = "org/small"
SMALL = replace(
    T2V_A14B,
    variants=tuple(
        Variant(
            id=name,
            title=name,
            parts={Part.TRANSFORMER: RemoteFiles(repo_id=REPO, paths=(f"{name}.safetensors",), nbytes=nbytes)},
            quantised=True,
        )
        for name, nbytes in (("large", 3_000_000), ("fit", 2_000_000), ("small", 1_000_000))
    ),
)


def test_a_card_of_16_gb_gets_scaled_float8_and_falls_back_to_what_is_no_larger() -> None:
    offered = offer(T2V_A14B, HOME)
    assert offered.variant.id == "fp8"
    assert offered.nbytes is not None
    assert 35e9 < offered.nbytes < 36e9
    assert all((variant.nbytes or 0) <= offered.nbytes for variant in offered.variants)


def test_a_variant_that_is_named_is_the_only_one() -> None:
    assert [variant.id for variant in offer(T2V_A14B, HOME, "Q4_K_M").variants] == ["q4_k_m"]
    with pytest.raises(UnknownVariant, match="'q9': there is fp32, fp16, fp8"):
        offer(T2V_A14B, HOME, "q9")


def test_a_model_that_came_with_its_package_cannot_be_downloaded() -> None:
    with pytest.raises(InvalidRequest, match="t2v-A14B-demo comes with its package"):
        offer(T2V_A14B_DEMO, HOME)


def test_a_preset_brings_its_loras() -> None:
    offered = offer(T2V_A14B_LIGHTNING, HOME)
    (lora,) = T2V_A14B_LIGHTNING.loras
    assert set(files_of(T2V_A14B_LIGHTNING, offered.variant)) == {*lora.files, *offered.variant.files}
    base = total_bytes(T2V_A14B, offered.variant)
    assert offered.nbytes is not None
    assert base is not None
    assert offered.nbytes == base + 2 * 1_226_977_424


def test_an_error_says_what_there_is_to_download() -> None:
    error = with_offer(ModelMissing("gone", facts={"model": "t2v-A14B"}), offer(T2V_A14B, HOME))
    assert isinstance(error, ModelMissing)
    assert error.message.startswith("gone. What suits this computer is fp8 (35.6 GB): ")
    assert (error.facts["variant"], error.suggestions) == ("fp8", ("wan models pull t2v-A14B",))


def test_load_says_what_it_would_download(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with pytest.raises(ModelMissing, match="What suits this computer is") as caught:
        wanvideo.load("t2v-A14B")
    assert isinstance(caught.value.facts["bytes"], int)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(wanvideo.DownloadOffline):
        wanvideo.load("t2v-A14B", download=True)


def test_another_variant_is_taken_and_said_where_the_first_is_gone(loopback: LoopbackHub, tmp_path: Path) -> None:
    loopback.add(REPO, {"small.safetensors": shard(1)})
    offered = replace(offer(SMALL, HOME), variants=SMALL.variants[1:])
    events = list(obtain(offered, [Hub(endpoint=loopback.endpoint)], Places(hub_cache=tmp_path)))
    (fell_back,) = [event for event in events if isinstance(event, FellBack)]
    assert fell_back.wanted.startswith("fit from")
    assert "has no file fit.safetensors" in fell_back.reason
    assert isinstance(events[-1], Downloaded)
    assert contents(snapshot(loopback, tmp_path, REPO)) == {"small.safetensors": shard(1)}
    with pytest.raises(DownloadNotFound, match=r"large\.safetensors"):
        list(
            obtain(
                replace(offered, variants=SMALL.variants[:1]),
                [Hub(endpoint=loopback.endpoint)],
                Places(hub_cache=tmp_path),
            )
        )


@pytest.mark.parametrize(("there", "fetched"), [(1, 0), (2, len(shard(1, 1500)))], ids=["same", "another"])
def test_the_same_bytes_in_a_comfyui_tree_are_not_fetched(
    loopback: LoopbackHub, tmp_path: Path, there: int, fetched: int
) -> None:
    """Of the name and size of the file that is wanted; the hash decides."""
    loopback.add(REPO, {"fit.safetensors": shard(1, 1500)})
    mine = tmp_path / "comfyui" / "diffusion_models" / "fit.safetensors"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(shard(there, 1500))
    places = Places(roots=(tmp_path / "comfyui",), hub_cache=tmp_path / "hub")
    offered = replace(offer(SMALL, HOME), variants=SMALL.variants[1:2])
    events = list(obtain(offered, [Hub(endpoint=loopback.endpoint)], places))
    (planned,) = [event for event in events if isinstance(event, Planned)]
    assert planned.plan.missing_bytes == 0
    assert isinstance(events[-1], Downloaded)
    assert events[-1].fetched_bytes == fetched
    assert contents(snapshot(loopback, tmp_path / "hub", REPO)) == {"fit.safetensors": shard(1, 1500)}
    assert mine.read_bytes() == shard(there, 1500)


def test_every_hub_is_asked_for_a_variant_before_the_next_variant_is() -> None:
    hubs = [Hub(endpoint=f"https://{name}.example") for name in ("first", "mirror")]
    offered = replace(offer(SMALL, HOME), variants=SMALL.variants[:2])
    titles = [choice.title for choice in choices(offered, hubs, Places(hub_cache=Path("/nowhere")))]
    assert titles == [
        "large from first.example",
        "large from mirror.example",
        "fit from first.example",
        "fit from mirror.example",
    ]
