"""Every error that wanvideo raises on purpose.

One base class carries what each surface needs: a message for people (what happened, with the numbers, and what to do
next), a stable `code` and `category` for programs, `suggestions`, and `facts` (JSON values). They travel upward
untouched and become an exit code, an HTTP status or a failed job in one place each.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

Fact: TypeAlias = str | int | float | bool | None


class WanVideoError(Exception):
    """Base of all errors of this package."""

    code: str = "INTERNAL"  # of the class, but for errors that another computer tells of
    category: str = "server"

    def __init__(
        self,
        message: str,
        *,
        suggestions: Sequence[str] = (),
        facts: Mapping[str, Fact] | None = None,
    ) -> None:
        super().__init__(message)
        self.suggestions = tuple(suggestions)
        self.facts = dict(facts or {})

    @property
    def message(self) -> str:
        return str(self.args[0])


# --- what the user asked for (exit code 2) ---------------------------------------------------------------------------


class InvalidRequest(WanVideoError):
    """A value of the request cannot be used; the message names it and the legal values."""

    code = "INPUT_RANGE"
    category = "input"


class InvalidPrompt(InvalidRequest):
    code = "INPUT_PROMPT"


class InvalidSize(InvalidRequest):
    code = "INPUT_SIZE"


class InvalidFrames(InvalidRequest):
    code = "INPUT_FRAMES"


class InvalidImage(InvalidRequest):
    """The file is missing, damaged, too large, or not an image that we read."""

    code = "INPUT_IMAGE_BAD"


class ImageTooLarge(InvalidImage):
    """More bytes or pixels than are decoded."""

    code = "INPUT_IMAGE_TOO_LARGE"


class ImageRequired(InvalidRequest):
    code = "INPUT_IMAGE_REQUIRED"


class ImageNotTaken(InvalidRequest):
    """The model takes no image, or no end image."""

    code = "INPUT_IMAGE_NOT_TAKEN"


class UnknownModel(InvalidRequest):
    code = "MODEL_UNKNOWN"


class UnknownVariant(InvalidRequest):
    """The model has no variant of that name."""

    code = "VARIANT_UNKNOWN"


class InvalidMedia(InvalidRequest):
    """The file given to `wan info` is no video that we can read."""

    code = "INPUT_MEDIA_BAD"


# --- models on disk --------------------------------------------------------------------------------------------------


class ModelMissing(WanVideoError):
    """The model is known but its files are not on disk."""

    code = "MODEL_MISSING"
    category = "model"


class ModelIncomplete(WanVideoError):
    """Files of the model are missing."""

    code = "MODEL_INCOMPLETE"
    category = "model"


class ModelCorrupt(WanVideoError):
    """A file is truncated, damaged, or not the format its name says."""

    code = "MODEL_CORRUPT"
    category = "model"


class ModelMismatch(WanVideoError):
    """The tensors do not fit the architecture: another model's checkpoint, or an unknown one."""

    code = "MODEL_ARCH_UNKNOWN"
    category = "model"


class ModelVersion(ModelMismatch):
    """A file is of a version of its format that is not read."""

    code = "MODEL_VERSION"


# --- while generating ------------------------------------------------------------------------------------------------


class NonFiniteLatents(WanVideoError):
    """NaN or infinity appeared while denoising; stopped instead of writing a black video."""

    code = "INFERENCE_NAN"
    category = "inference"


class NotEnoughMemory(WanVideoError):
    code = "VRAM_OOM"
    category = "vram"


class IncompatibleState(WanVideoError):
    """A saved denoising state belongs to another request or is damaged."""

    code = "STATE_INCOMPATIBLE"
    category = "inference"


class Cancelled(WanVideoError):
    code = "CANCELLED_USER"
    category = "cancelled"


class RankFailed(WanVideoError):
    """One of the processes that make a video together died, hung or failed, and all were ended."""

    code = "RANK_FAILED"
    category = "inference"


# --- the result ------------------------------------------------------------------------------------------------------


class OutputNotWritable(InvalidRequest):
    """The output path cannot be written; found before anything is computed."""

    code = "OUTPUT_NOT_WRITABLE"
    category = "output"


class DiskFull(WanVideoError):
    code = "DISK_FULL"
    category = "output"


class EncodeFailed(WanVideoError):
    code = "ENCODE_FAILED"
    category = "output"


class EncoderMissing(EncodeFailed):
    """PyAV, or its H.264 encoder, is not installed."""

    code = "ENCODER_MISSING"


# --- downloads -------------------------------------------------------------------------------------------------------


class DownloadError(WanVideoError):
    """A download ended; what has arrived is kept, and the next one goes on from there."""

    code = "DOWNLOAD_FAILED"
    category = "download"


class DownloadUnreachable(DownloadError):
    """The hub does not answer, or answers with errors, however often it is asked."""

    code = "DOWNLOAD_UNREACHABLE"


class DownloadOffline(DownloadUnreachable):
    """The network is needed and the user forbade it."""

    code = "DOWNLOAD_OFFLINE"


class DownloadStalled(DownloadUnreachable):
    """The connection stands, and nothing comes."""

    code = "DOWNLOAD_STALLED"


class DownloadRateLimited(DownloadUnreachable):
    code = "DOWNLOAD_RATE_LIMITED"


class DownloadForbidden(DownloadError):
    """The hub wants a token, or another one: a gated or private repository."""

    code = "DOWNLOAD_AUTH"


class DownloadNotFound(DownloadError):
    """There is no such repository, revision or file."""

    code = "DOWNLOAD_NOT_FOUND"


class DownloadRefused(DownloadError):
    """The hub said something that we do not follow: a redirect to a strange host, a file name that leaves the cache."""

    code = "DOWNLOAD_REFUSED"


class DownloadHashMismatch(DownloadError):
    """Twice, the bytes that came were not those that the hub promised."""

    code = "DOWNLOAD_HASH_MISMATCH"


class DownloadDiskFull(DownloadError):
    code = "DOWNLOAD_DISK_FULL"


class CacheNotWritable(DownloadError):
    """The cache cannot be written, for a reason other than a full disk."""

    code = "DOWNLOAD_CACHE_NOT_WRITABLE"


# --- LoRA ------------------------------------------------------------------------------------------------------------


class LoraError(InvalidRequest):
    """A LoRA cannot be used. Whether that ends the request or only leaves the LoRA out, its `lora_policy` says."""

    code = "LORA_UNUSABLE"
    category = "lora"


class LoraNotFound(LoraError):
    code = "LORA_NOT_FOUND"


class LoraUnsafeFormat(LoraError):
    """The file is a pickle, which can run any code when it is opened."""

    code = "LORA_UNSAFE_FORMAT"


class LoraCorrupt(LoraError):
    """The file is truncated, damaged, no LoRA, or holds numbers that are not finite or sizes that no LoRA has."""

    code = "LORA_CORRUPT"


class LoraWrongBase(LoraError):
    """Made for a model of another width or family."""

    code = "LORA_WRONG_BASE"


class LoraUnsupported(LoraError):
    """A kind of adapter that is not applied here, such as LoKr."""

    code = "LORA_UNSUPPORTED"


class TooManyLoras(LoraError):
    code = "LORA_TOO_MANY"


# --- jobs ------------------------------------------------------------------------------------------------------------


class JobNotFound(WanVideoError):
    code = "JOB_NOT_FOUND"
    category = "job"


class JobConflict(WanVideoError):
    """In the state that the job is in, this cannot be done."""

    code = "JOB_STATE"
    category = "job"


class WorkerNotFound(WanVideoError):
    code = "WORKER_NOT_FOUND"
    category = "job"


class IdempotencyConflict(WanVideoError):
    """The same key was used for another request."""

    code = "IDEMPOTENCY_CONFLICT"
    category = "job"


class QueueFull(WanVideoError):
    code = "QUEUE_FULL"
    category = "server"


class StorageFailed(WanVideoError):
    """The database cannot be read or written; nothing is acknowledged until the server was started again."""

    code = "STORAGE_ERROR"
    category = "server"


class DataFolderInUse(WanVideoError):
    """Another server works in the same data folder."""

    code = "STORAGE_LOCKED"
    category = "server"
