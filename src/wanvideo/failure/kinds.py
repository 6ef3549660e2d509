"""Every code there is, with what can be said of it whatever the job."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from wanvideo.failure import advice
from wanvideo.failure.advice import Advice


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One code."""

    category: str
    title: str
    retryable: bool = False
    advice: tuple[Advice, ...] = ()


def _kinds(category: str, **kinds: tuple[str, bool, tuple[Advice, ...]]) -> dict[str, Kind]:
    return {
        code: Kind(category=category, title=title, retryable=retryable, advice=said)
        for code, (title, retryable, said) in kinds.items()
    }


_LORA: Final = (advice.skip_bad_loras, advice.no_loras)
_AGAIN: Final = (advice.again,)

KINDS: Final[Mapping[str, Kind]] = {
    **_kinds(
        "model",
        MODEL_MISSING=("The model is not here", True, (advice.fetch, advice.small_model)),
        MODEL_INCOMPLETE=("Files of the model are missing", True, (advice.fetch, advice.repair, advice.small_model)),
        MODEL_CORRUPT=("A file of the model is damaged", False, (advice.repair, advice.small_model)),
        MODEL_ARCH_UNKNOWN=("The files are not those of the model", False, (advice.repair, advice.small_model)),
        MODEL_VERSION=("A file of the model is of another version of its format", False, (advice.small_model,)),
        MODEL_LOAD_FAILED=(
            "The model could not be loaded",
            True,
            (advice.again, advice.repair, advice.small_model),
        ),
    ),
    **_kinds(
        "input",
        MODEL_UNKNOWN=("There is no such model", False, ()),
        VARIANT_UNKNOWN=("The model has no such variant", False, (advice.another_variant,)),
        INPUT_PROMPT=("The prompt cannot be used", False, ()),
        INPUT_SIZE=("The size cannot be used", False, (advice.usual_size,)),
        INPUT_FRAMES=("The length cannot be used", False, (advice.usual_length,)),
        INPUT_RANGE=("A value cannot be used", False, (advice.default_values,)),
        INPUT_IMAGE_BAD=("The picture cannot be read", False, (advice.another_picture,)),
        INPUT_IMAGE_TOO_LARGE=("The picture is too large", False, (advice.another_picture,)),
        INPUT_IMAGE_REQUIRED=(
            "The model begins with a picture, and there is none",
            False,
            (advice.another_picture, advice.model_without_picture),
        ),
        INPUT_IMAGE_NOT_TAKEN=(
            "The model takes no such picture",
            False,
            (advice.model_with_picture, advice.no_picture),
        ),
        INPUT_MEDIA_BAD=("The file is no video that can be read", False, ()),
    ),
    **_kinds(
        "lora",
        LORA_UNUSABLE=("The LoRA cannot be used", False, _LORA),
        LORA_NOT_FOUND=("The LoRA is not here", False, _LORA),
        LORA_CORRUPT=("The file of the LoRA is damaged", False, _LORA),
        LORA_UNSAFE_FORMAT=("The LoRA is a pickle, which is never opened", False, _LORA),
        LORA_WRONG_BASE=("The LoRA is for another model", False, _LORA),
        LORA_UNSUPPORTED=("This kind of LoRA is not applied", False, _LORA),
        LORA_TOO_MANY=("Too many LoRAs", False, (advice.no_loras,)),
    ),
    **_kinds(
        "vram",
        VRAM_PREFLIGHT=(
            "The video does not fit into GPU memory",
            False,
            (advice.smaller, advice.shorter, advice.free_gpu, advice.small_model),
        ),
        VRAM_OOM=("GPU memory ran out", True, (advice.free_gpu, advice.smaller, advice.shorter, advice.small_model)),
        VRAM_OOM_LOAD=(
            "GPU memory ran out before denoising began",
            True,
            (advice.free_gpu, advice.fast, advice.smaller, advice.small_model),
        ),
        VRAM_OOM_DENOISE=(
            "GPU memory ran out while denoising",
            True,
            (advice.smaller, advice.shorter, advice.free_gpu, advice.fast, advice.no_loras, advice.small_model),
        ),
        VRAM_OOM_VAE=(
            "GPU memory ran out while the video was decoded",
            True,
            (advice.free_gpu, advice.decode_on_cpu, advice.tiles, advice.shorter, advice.smaller),
        ),
        HOST_OOM=(
            "The computer's memory ran out",
            True,
            (advice.fast, advice.shorter, advice.smaller, advice.again, advice.small_model),
        ),
    ),
    **_kinds(
        "gpu",
        CUDA_FATAL=("The GPU reported an error", True, (advice.again, advice.exact, advice.restart_driver)),
        GPU_LOST=("The GPU is gone", True, (advice.again, advice.restart_driver, advice.on_cpu)),
        GPU_UNSUPPORTED=("The GPU cannot be used", False, (advice.demo_model, advice.on_cpu, advice.restart_driver)),
        DRIVER_MISMATCH=("The GPU's driver is too old", False, (advice.restart_driver, advice.on_cpu)),
    ),
    **_kinds(
        "inference",
        INFERENCE_NAN=("The numbers got out of hand", False, (advice.exact, advice.no_loras, advice.repair)),
        INFERENCE_BLACK=("Every frame is black", False, (advice.exact, advice.no_loras)),
        RANK_FAILED=("One of the GPUs that made the video fell out", True, _AGAIN),
        INFERENCE_FAILED=("Making the video failed", True, _AGAIN),
        STEP_TIMEOUT=("A step took far too long", True, (advice.again, advice.smaller, advice.free_gpu)),
        STATE_INCOMPATIBLE=("What was saved belongs to other settings", True, _AGAIN),
    ),
    **_kinds(
        "output",
        DISK_FULL=("The disk is full", True, (advice.make_room,)),
        ENCODE_FAILED=("The video could not be encoded", True, _AGAIN),
        ENCODER_MISSING=("There is no H.264 encoder", False, ()),
        OUTPUT_NOT_WRITABLE=("The video could not be written", True, _AGAIN),
        OUTPUT_MISSING=("The finished file is gone", True, _AGAIN),
    ),
    **_kinds(
        "download",
        DOWNLOAD_FAILED=("The download failed", True, _AGAIN),
        DOWNLOAD_UNREACHABLE=("The hub does not answer", True, _AGAIN),
        DOWNLOAD_OFFLINE=("Downloads are switched off", True, _AGAIN),
        DOWNLOAD_STALLED=("The download came to a halt", True, _AGAIN),
        DOWNLOAD_RATE_LIMITED=("The hub asks to wait", True, _AGAIN),
        DOWNLOAD_AUTH=("The hub wants a token, or another one", True, _AGAIN),
        DOWNLOAD_NOT_FOUND=("The hub has no such files", False, ()),
        DOWNLOAD_REFUSED=("What the hub said was not followed", False, ()),
        DOWNLOAD_HASH_MISMATCH=("What came is not what the hub promised", True, _AGAIN),
        DOWNLOAD_DISK_FULL=("The disk has no room for the model", True, (advice.make_room,)),
        DOWNLOAD_CANCELLED=("The download was cancelled", True, _AGAIN),
        DOWNLOAD_CACHE_NOT_WRITABLE=("The folder of models cannot be written", True, _AGAIN),
    ),
    **_kinds(
        "cancelled",
        CANCELLED_USER=("Cancelled", True, _AGAIN),
    ),
    **_kinds(
        "worker",
        WORKER_CRASH=("The worker died", True, (advice.shorter, advice.smaller, advice.fast, advice.again)),
        WORKER_HUNG=("The worker hung", True, _AGAIN),
        WORKER_START=("The worker does not start", True, _AGAIN),
    ),
    **_kinds(
        "job",
        JOB_NOT_FOUND=("There is no such job", False, ()),
        WORKER_NOT_FOUND=("There is no such worker", False, ()),
        JOB_STATE=("The job is past that", False, ()),
        IDEMPOTENCY_CONFLICT=("The key was used for another request", False, ()),
    ),
    **_kinds(
        "server",
        QUEUE_FULL=("The queue is full", True, _AGAIN),
        STORAGE_ERROR=("The database failed", True, _AGAIN),
        STORAGE_LOCKED=("Another server works here", False, ()),
        INTERNAL=("Something failed", True, _AGAIN),
    ),
}
