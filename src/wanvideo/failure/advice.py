"""What to propose, where it changes something: a smaller size only to those who asked for a larger one."""

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from wanvideo.failure.values import Asked, Suggestion, SuggestionCode
from wanvideo.request import Tier

Advice: TypeAlias = Callable[[Asked], Suggestion | None]

SMALL: Final = (832, 480)  # pixels; the smaller one of the two sizes that A14B was trained for
SHORT: Final = 49  # frames, 3 s of A14B
TILE: Final = 256  # pixels
_DEMO: Final = "-demo"
_MINIATURES: Final = frozenset({"t2v-A14B", "i2v-A14B", "ti2v-5B"})  # models that have one


def again(asked: Asked) -> Suggestion:
    if asked.all_steps_kept:
        return Suggestion(
            text="Try again: only decoding is repeated", effect="the same video", change={}, code="again_decoding"
        )
    return Suggestion(text="Try again", effect="the same video", change={}, code="again")


def repair(asked: Asked) -> Suggestion:
    if not asked.from_hub:
        return _install_again(asked)
    text = "Repair the model: only files that are missing or damaged are downloaded"
    return Suggestion(text=text, effect="the same video afterwards", repairs=True, code="repair")


def fetch(asked: Asked) -> Suggestion:
    if not asked.from_hub:
        return _install_again(asked)
    model = asked.model or "the model"
    effect = "the same video afterwards"
    return Suggestion(text=f"Download {model}", effect=effect, change={}, code="fetch", values={"model": model})


def smaller(asked: Asked) -> Suggestion | None:
    if asked.planned or asked.width is None or asked.height is None:
        return None
    width, height = SMALL if asked.width >= asked.height else SMALL[::-1]
    if asked.width * asked.height <= width * height:
        return None
    size = f"{width}x{height}"
    change = {"resolution": size}
    return Suggestion(
        text=f"Make it {size}", effect="a smaller picture", change=change, code="smaller", values={"size": size}
    )


def shorter(asked: Asked) -> Suggestion | None:
    if asked.planned or asked.frames is None or asked.frames <= SHORT:
        return None
    change = {"frames": SHORT, "seconds": None}
    return Suggestion(
        text=f"Make {SHORT} frames", effect="a shorter video", change=change, code="shorter", values={"frames": SHORT}
    )


def fast(asked: Asked) -> Suggestion | None:
    if asked.planned or asked.tier is Tier.FAST or asked.on_gpu is False:
        return None
    effect = "8-bit weights take half the memory; the picture differs a little"
    return Suggestion(text="Use the tier fast", effect=effect, change={"tier": "fast"}, code="tier_fast")


def exact(asked: Asked) -> Suggestion | None:
    if asked.tier is Tier.EXACT:
        return None
    effect = "the official precision, with other kernels; slower"
    return Suggestion(text="Use the tier exact", effect=effect, change={"tier": "exact"}, code="tier_exact")


def tiles(asked: Asked) -> Suggestion | None:
    if asked.on_gpu is False:
        return None
    effect = "seams that are hardly to be seen; slower"
    text = f"Decode in tiles of {TILE} pixels"
    return Suggestion(text=text, effect=effect, change={"tile": TILE}, code="tiles", values={"pixels": TILE})


def decode_on_cpu(asked: Asked) -> Suggestion | None:
    if not asked.all_steps_kept or asked.on_gpu is False:
        return None
    return Suggestion(
        text="Decode on the CPU",
        effect="the same video, after a longer wait",
        change={"device": "cpu"},
        code="decode_on_cpu",
    )


def small_model(asked: Asked) -> Suggestion | None:
    if asked.planned or asked.model is None or not asked.model.startswith(("t2v-A14B", "i2v-A14B")):
        return None
    return _model(asked, "ti2v-5B", "another video, of a smaller model", "small_model")


def demo_model(asked: Asked) -> Suggestion | None:
    if asked.model not in _MINIATURES:
        return None
    effect = "moving shapes, of the built-in miniature of the model"
    return use_model(asked.model + _DEMO, effect, "demo_model")


def model_with_picture(asked: Asked) -> Suggestion | None:
    return _model(asked, "i2v-A14B", "the video begins with your picture", "model_with_picture")


def model_without_picture(asked: Asked) -> Suggestion | None:
    return _model(asked, "t2v-A14B", "a video from words alone", "model_without_picture")


def no_loras(asked: Asked) -> Suggestion | None:
    if not asked.loras:
        return None
    return Suggestion(
        text="Leave the LoRAs out", effect="the video without what they add", change={"loras": []}, code="no_loras"
    )


def skip_bad_loras(_: Asked) -> Suggestion:
    text = "Go on without LoRAs that cannot be used"
    return Suggestion(
        text=text, effect="the video without what they add", change={"lora_policy": "warn"}, code="skip_bad_loras"
    )


def no_picture(_: Asked) -> Suggestion:
    change = {"image_name": None, "end_image_name": None}
    return Suggestion(text="Leave the picture out", effect="a video from words alone", change=change, code="no_picture")


def another_picture(_: Asked) -> Suggestion:
    return Suggestion(
        text="Upload the picture again, as PNG, JPEG or WebP", effect="the video begins with it", code="another_picture"
    )


def free_gpu(_: Asked) -> Suggestion:
    text = "Close other programs that use the GPU, and try again"
    return Suggestion(text=text, effect="the same video", change={}, code="free_gpu")


def restart_driver(_: Asked) -> Suggestion:
    text = "Update the NVIDIA driver and start the computer again"
    return Suggestion(text=text, effect="the same video afterwards", code="restart_driver")


def on_cpu(asked: Asked) -> Suggestion | None:
    if asked.model is None or not asked.model.endswith(_DEMO):
        return None
    return Suggestion(text="Use the CPU", effect="the same video; slower", change={"device": "cpu"}, code="on_cpu")


def make_room(_: Asked) -> Suggestion:
    text = "Make room on the disk, and try again"
    return Suggestion(text=text, effect="the same video", change={}, code="make_room")


def default_values(asked: Asked) -> Suggestion:
    names = ("resolution", "frames", "seconds", "steps", "guidance", "guidance_low", "shift")
    change: dict[str, Any] = dict.fromkeys(names)
    model = asked.model or "the model"
    return Suggestion(
        text=f"Use the usual values of {model}",
        effect="its usual size and length",
        change=change,
        code="default_values",
        values={"model": model},
    )


def usual_size(_: Asked) -> Suggestion:
    change = {"resolution": None}
    return Suggestion(
        text="Use the model's usual size", effect="a picture of another size", change=change, code="usual_size"
    )


def usual_length(_: Asked) -> Suggestion:
    change = {"frames": None, "seconds": None}
    return Suggestion(
        text="Use the model's usual length", effect="a video of another length", change=change, code="usual_length"
    )


def another_variant(_: Asked) -> Suggestion:
    text = "Use the best form of the model that is here"
    return Suggestion(
        text=text, effect="the same video in another precision", change={"variant": None}, code="another_variant"
    )


def _install_again(asked: Asked) -> Suggestion:
    """Of models that came otherwise than from a hub."""
    model = asked.model or "the model"
    text = f"Put the files of {model} in place again; those of demo models come with wanvideo"
    return Suggestion(text=text, effect="the same video afterwards", code="install_again", values={"model": model})


def _model(asked: Asked, name: str, effect: str, code: SuggestionCode) -> Suggestion:
    """Demo models are exchanged for demo models."""
    name += _DEMO if asked.model is not None and asked.model.endswith(_DEMO) else ""
    return use_model(name, effect, code)


def use_model(name: str, effect: str, code: SuggestionCode) -> Suggestion:
    return Suggestion(text=f"Use {name}", effect=effect, change=model_change(name), code=code, values={"model": name})


def model_change(name: str) -> dict[str, Any]:
    """The best form of that model that is here."""
    return {"model_type": name, "variant": None}
