"""Files on disk -> networks with their weights, memory-mapped and strict.

A network is first built without memory, on the meta device. Names and shapes are compared with the files' headers
before any tensor is read. Then each tensor goes straight from the mapped file to its dtype and device, one at a time,
so that no second copy of the weights ever exists in RAM. A tensor that is already right stays where it is, in the
mapped file: its pages are read when first used, shared between processes, and dropped when memory is short.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from wanvideo.errors import ModelCorrupt, ModelMismatch
from wanvideo.models.config import TextEncoderConfig, TransformerConfig, VAEConfig
from wanvideo.models.text_encoder import UMT5Encoder
from wanvideo.models.transformer import WanTransformer, keeps_fp32
from wanvideo.models.vae import WanVAE
from wanvideo.weights.folder import ModelFolder, NetworkPart
from wanvideo.weights.headers import TensorInfo, WeightFile, some
from wanvideo.weights.key_map import TEXT_ENCODER_ALIASES, KeyMap, text_encoder_keys, transformer_keys, vae_keys
from wanvideo.weights.tokenizer import PromptTokenizer

# Others, 8-bit types above all, mean nothing without scales that these files do not have.
_FLOATS: Final = frozenset({"F64", "F32", "F16", "BF16"})

ModuleT = TypeVar("ModuleT", bound=nn.Module)


class _SkipInit(TorchFunctionMode):
    """Makes `torch.nn.init` do nothing: the weights come from files.

    On the meta device its `normal_` would also import torch's compiler first, which takes 3.5 s.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if getattr(func, "__module__", None) == "torch.nn.init":
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


def _empty(build: Callable[[], ModuleT]) -> ModuleT:
    """A module without memory for its parameters."""
    with torch.device("meta"), _SkipInit():
        return build()


def load_transformer(
    part: NetworkPart[TransformerConfig],
    *,
    device: torch.device,
    dtype: torch.dtype,
    keep_fp32: Callable[[str], bool] = keeps_fp32,
) -> WanTransformer:
    """A transformer whose weights are `dtype`, except the parameters that `keep_fp32` names.

    Raises ModelMismatch if the files hold other tensors than the architecture has, ModelCorrupt if they cannot be read;
    so do the other two.
    """
    model = _empty(lambda: WanTransformer(part.config))
    dtypes = {name: torch.float32 if keep_fp32(name) else dtype for name in model.state_dict()}
    return _load(model, part.files, transformer_keys(part.config), device, dtypes)


def load_vae(part: NetworkPart[VAEConfig], *, device: torch.device, dtype: torch.dtype) -> WanVAE:
    model = _empty(lambda: WanVAE(part.config))
    return _load(model, part.files, vae_keys(part.config), device, dict.fromkeys(model.state_dict(), dtype))


def load_text_encoder(part: NetworkPart[TextEncoderConfig], *, device: torch.device, dtype: torch.dtype) -> UMT5Encoder:
    model = _empty(lambda: UMT5Encoder(part.config))
    keys = text_encoder_keys(part.config)
    return _load(model, part.files, keys, device, dict.fromkeys(model.state_dict(), dtype), TEXT_ENCODER_ALIASES)


def load_tokenizer(folder: ModelFolder) -> PromptTokenizer:
    """Raises ModelMismatch if the tokenizer knows more tokens than the text encoder."""
    tokenizer = PromptTokenizer.from_folder(folder.tokenizer)
    rows = folder.text_encoder.config.vocab_size
    if tokenizer.vocab_size > rows:
        raise ModelMismatch(
            f"{folder.tokenizer} has {tokenizer.vocab_size} tokens, {folder.text_encoder.folder} only {rows}: "
            "use one model's"
        )
    return tokenizer


def _load(
    model: ModuleT,
    files: Sequence[WeightFile],
    keys: KeyMap,
    device: torch.device,
    dtypes: Mapping[str, torch.dtype],
    aliases: Mapping[str, str] | None = None,
) -> ModuleT:
    """Fill a model that was built on the meta device; `dtypes` by official name."""
    aliases = aliases or {}
    stored = {name: info for file in files for name, info in file.tensors.items()}
    # A tensor under its second name is a duplicate, unless it has no other.
    names = {n: keys.to_official(aliases.get(n, n)) for n in stored if aliases.get(n) not in stored}
    official = {name: ours for name, ours in names.items() if ours is not None}
    unknown = [name for name, ours in names.items() if ours is None]
    _check(model, files, {ours: stored[name] for name, ours in official.items()}, unknown, keys)
    weights: dict[str, Tensor] = {}
    for file in files:
        for name, tensor in _read(file, official.keys() & file.tensors.keys()):
            weights[official[name]] = tensor.to(device=device, dtype=dtypes[official[name]])
    model.requires_grad_(False)
    model.load_state_dict(weights, strict=True, assign=True)
    return model.eval()


def _check(
    model: nn.Module, files: Sequence[WeightFile], stored: Mapping[str, TensorInfo], unknown: list[str], keys: KeyMap
) -> None:
    """Raises ModelMismatch unless `stored`, by official name, is what the model has, and nothing is unknown."""
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    known = {name: info for name, info in stored.items() if name in wanted}
    misfits = {
        "unknown": unknown + [info.name for name, info in stored.items() if name not in wanted],
        "missing": [keys.to_diffusers(name) or name for name in wanted if name not in stored],
        "of another shape": [
            f"{info.name} {list(info.shape)} instead of {list(wanted[name])}"
            for name, info in known.items()
            if info.shape != wanted[name]
        ],
        "of a type that is not read": [
            f"{info.name} {info.dtype}" for info in known.values() if info.dtype not in _FLOATS
        ],
    }
    found = [f"{len(tensors)} {kind} ({some(tensors)})" for kind, tensors in misfits.items() if tensors]
    if found:
        where = files[0].path if len(files) == 1 else files[0].path.parent
        raise ModelMismatch(
            f"{where} does not hold the model that its config.json describes: tensors {', '.join(found)}. "
            "Get all files of one model",
            facts={"path": str(where)} | {kind: len(tensors) for kind, tensors in misfits.items()},
        )


def _read(file: WeightFile, names: Collection[str]) -> Iterator[tuple[str, Tensor]]:
    """Yield (name, tensor in the mapped file) in the order of the file, which disks like best."""
    try:
        with safe_open(file.path, framework="pt", device="cpu") as mapped:
            for name in sorted(names, key=lambda name: file.tensors[name].start):
                yield name, mapped.get_tensor(name)
    except (SafetensorError, OSError) as error:
        raise ModelCorrupt(f"{file.path} cannot be read ({error}): delete it and download it again") from error
