import pytest

from wanvideo.errors import UnknownModel
from wanvideo.request import Solver, Task
from wanvideo.sampling.guidance import expert_at
from wanvideo.sampling.schedule import make_schedule
from wanvideo.weights.catalog import MODELS, NEGATIVE_PROMPT, ModelSpec, base_of, resolve
from wanvideo.weights.variants import Part

BY_ID = {spec.id: spec for spec in MODELS}


@pytest.mark.parametrize("spec", MODELS, ids=lambda spec: spec.id)
def test_defaults_are_legal_for_their_model(spec: ModelSpec) -> None:
    defaults, limits = spec.defaults, spec.limits
    assert defaults.width % limits.size_multiple == defaults.height % limits.size_multiple == 0
    assert min(defaults.width, defaults.height) >= limits.min_side
    assert defaults.width * defaults.height <= limits.max_area
    assert defaults.frames % 4 == 1
    assert limits.max_frames % 4 == 1
    assert defaults.frames <= limits.max_frames


@pytest.mark.parametrize("spec", MODELS, ids=lambda spec: spec.id)
def test_two_experts_have_a_boundary_and_one_has_none(spec: ModelSpec) -> None:
    assert (spec.boundary is not None) == (spec.experts == 2)


@pytest.mark.parametrize("spec", MODELS, ids=lambda spec: spec.id)
def test_architectures_fit_together(spec: ModelSpec) -> None:
    assert spec.demo == (spec.vae is None) == (spec.text_encoder is None) == (spec.repo_id is None)
    if spec.vae is not None and spec.text_encoder is not None:
        assert spec.transformer.out_channels == spec.vae.z_dim
        assert spec.transformer.text_dim == spec.text_encoder.dim
        assert spec.limits.size_multiple == spec.vae.spatial_stride * spec.transformer.patch[1]


@pytest.mark.parametrize(
    ("name", "steps", "shift", "boundary", "high", "low", "frames", "fps"),
    [
        ("t2v-A14B", 40, 12.0, 0.875, 4.0, 3.0, 81, 16),
        ("i2v-A14B", 40, 5.0, 0.9, 3.5, 3.5, 81, 16),
        ("ti2v-5B", 50, 5.0, None, 5.0, 5.0, 121, 24),
        ("wan2.1-t2v-1.3B", 50, 5.0, None, 5.0, 5.0, 81, 16),
        ("wan2.1-t2v-14B", 50, 5.0, None, 5.0, 5.0, 81, 16),
        ("t2v-A14B-demo", 20, 3.0, 0.875, 2.0, 2.0, 17, 8),
        ("i2v-A14B-demo", 20, 3.0, 0.9, 2.0, 2.0, 17, 8),
        ("ti2v-5B-demo", 20, 3.0, None, 2.0, 2.0, 17, 8),
    ],
)
def test_defaults_are_those_of_the_official_code(
    name: str, steps: int, shift: float, boundary: float | None, high: float, low: float, frames: int, fps: int
) -> None:
    spec = BY_ID[name]
    d = spec.defaults
    found = (d.steps, d.shift, spec.boundary, d.guidance_high, d.guidance_low, d.frames, d.fps)
    assert found == (steps, shift, boundary, high, low, frames, fps)
    assert d.negative_prompt == ("" if spec.demo else NEGATIVE_PROMPT)


LIGHTNING = [spec for spec in MODELS if spec.base is not None]


@pytest.mark.parametrize("preset", LIGHTNING, ids=lambda spec: spec.id)
def test_a_lightning_preset_is_its_base_in_four_euler_steps_with_a_pair_of_loras(preset: ModelSpec) -> None:
    base, d = base_of(preset), preset.defaults
    assert (d.steps, d.shift, d.guidance_high, d.guidance_low, d.solver) == (4, 5.0, 1.0, 1.0, Solver.EULER)
    assert make_schedule(d.solver, d.steps, d.shift, d.sigmas) == make_schedule(d.solver, d.steps, d.shift)
    assert (preset.variants, preset.transformer, preset.boundary) == (base.variants, base.transformer, base.boundary)
    (lora,) = preset.loras
    assert lora.nbytes == 2 * 1_226_977_424
    assert ["high" in path for files in lora.files for path in files.paths] == [True, False]


@pytest.mark.parametrize("preset", LIGHTNING, ids=lambda spec: spec.id)
def test_each_expert_of_a_lightning_preset_takes_two_steps(preset: ModelSpec) -> None:
    d = preset.defaults
    steps = make_schedule(d.solver, d.steps, d.shift, d.sigmas).timesteps
    assert [expert_at(step, preset.boundary).value for step in steps] == ["high", "high", "low", "low"]


REAL = [spec for spec in MODELS if not spec.demo]


@pytest.mark.parametrize("spec", REAL, ids=lambda spec: spec.id)
def test_every_variant_is_a_whole_model(spec: ModelSpec) -> None:
    assert len({variant.id for variant in spec.variants}) == len(spec.variants)
    wanted = {Part.TRANSFORMER, Part.VAE, Part.TEXT_ENCODER} | ({Part.TRANSFORMER_2} if spec.experts == 2 else set())
    for variant in spec.variants:
        assert variant.id == variant.id.lower()
        assert wanted <= variant.parts.keys() <= wanted | {Part.TOKENIZER}
        assert (Part.TOKENIZER in variant.parts) == (variant.id == "fp32")  # else inside the text encoder's file
        assert len(variant.parts[Part.TRANSFORMER].paths) == (2 if variant.id == "fp32" else 1)


@pytest.mark.parametrize(
    ("name", "variant", "gigabytes"),
    [
        ("t2v-A14B", "fp32", 126.2),
        ("t2v-A14B", "fp16", 68.8),
        ("t2v-A14B", "fp8", 35.6),
        ("i2v-A14B", "fp8", 35.6),
        ("t2v-A14B", "q4_k_m", 26.3),
        ("ti2v-5B", "fp32", 34.2),
        ("wan2.1-t2v-1.3B", "fp32", 28.9),
    ],
)
def test_downloads_have_the_sizes_that_are_known(name: str, variant: str, gigabytes: float) -> None:
    (found,) = [v for v in BY_ID[name].variants if v.id == variant]
    assert found.nbytes is not None
    assert found.nbytes / 1e9 == pytest.approx(gigabytes, abs=0.06)


def test_models_share_their_text_encoder_and_autoencoder() -> None:
    shared = {
        (variant.parts[Part.TEXT_ENCODER], variant.parts[Part.VAE])
        for name in ("t2v-A14B", "i2v-A14B", "wan2.1-t2v-14B")
        for variant in BY_ID[name].variants
        if variant.quantised
    }
    assert len(shared) == 1


def test_what_each_model_takes() -> None:
    takes = {s.id: (s.takes_image, s.requires_image, s.takes_end_image) for s in MODELS}
    assert takes == {
        "t2v-A14B": (False, False, False),
        "i2v-A14B": (True, True, True),
        "ti2v-5B": (True, False, False),
        "wan2.1-t2v-1.3B": (False, False, False),
        "wan2.1-t2v-14B": (False, False, False),
        "t2v-A14B-lightning": (False, False, False),
        "i2v-A14B-lightning": (True, True, True),
        "t2v-A14B-demo": (False, False, False),
        "i2v-A14B-demo": (True, True, True),
        "ti2v-5B-demo": (True, False, False),
    }
    assert BY_ID["ti2v-5B"].tasks == {Task.TEXT_TO_VIDEO, Task.IMAGE_TO_VIDEO}


def test_demo_models_share_their_text_encoder() -> None:
    demos = [spec for spec in MODELS if spec.demo]
    assert {spec.parts[Part.TEXT_ENCODER] for spec in demos} == {"shared/text_encoder"}
    assert [Part.TRANSFORMER_2 in spec.parts for spec in demos] == [True, True, False]


def test_no_two_models_but_presets_have_the_same_architecture_and_number_of_experts() -> None:
    models = [spec for spec in MODELS if spec.base is None]
    assert len({(spec.transformer, spec.experts) for spec in models}) == len(models)


@pytest.mark.parametrize(
    ("name", "id_"),
    [
        ("t2v-A14B", "t2v-A14B"),
        ("T2V-A14B", "t2v-A14B"),
        (" t2v-a14b ", "t2v-A14B"),
        ("WAN2.2-T2V-A14B", "t2v-A14B"),
        ("wan2.2_t2v_a14b", "t2v-A14B"),
        ("wan22-i2v-a14b", "i2v-A14B"),
        ("Wan2_2-TI2V-5B", "ti2v-5B"),
        ("Wan-AI/Wan2.2-TI2V-5B", "ti2v-5B"),
        ("Wan-AI/Wan2.2-I2V-A14B-Diffusers", "i2v-A14B"),
        ("Wan2.1-T2V-1.3B-Diffusers", "wan2.1-t2v-1.3B"),
        ("wan2_1_t2v_1_3B", "wan2.1-t2v-1.3B"),
        ("Wan 2.1 T2V 14B", "wan2.1-t2v-14B"),
        ("TI2V-5B-demo", "ti2v-5B-demo"),
        ("wan2.2-t2v-A14B-demo", "t2v-A14B-demo"),
        ("wan2.2_t2v_14B", "t2v-A14B"),
        ("t2v-a14b-4step", "t2v-A14B-lightning"),
        ("Wan2.2-I2V-A14B-lightx2v", "i2v-A14B-lightning"),
    ],
)
def test_the_spellings_in_use_are_understood(name: str, id_: str) -> None:
    assert resolve(name).id == id_


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("t2v-14B", "wan2.1-t2v-14B"),
        ("t2v-1.3B", "wan2.1-t2v-1.3B"),
        ("i2v-A14", "i2v-A14B"),
        ("tiv2-5b", "ti2v-5B"),
        ("5B", "ti2v-5B"),
    ],
)
def test_a_name_that_is_none_is_refused_with_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(UnknownModel) as caught:
        resolve(name)
    assert caught.value.suggestions[0] == nearest
    assert nearest in caught.value.message


@pytest.mark.parametrize("name", ["", "-", "flux", "x" * 100_000, "../../etc/passwd", "t2v\nA14B\0"])
def test_nonsense_is_refused_with_all_names(name: str) -> None:
    with pytest.raises(UnknownModel) as caught:
        resolve(name)
    assert len(caught.value.message) < 400
    assert "\n" not in caught.value.message
