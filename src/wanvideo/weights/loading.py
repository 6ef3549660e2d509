"""Files on disk -> networks with their weights, memory-mapped and strict.

A network is first built without memory, on the meta device. Names and shapes are compared with the files' headers
before any tensor is read. Layers whose weights are stored quantised are then replaced by ones that keep them so. Last,
each tensor goes straight from its file to its dtype and device, one at a time, so that no second copy of the weights
ever exists in RAM. On the CPU, a tensor that is already right stays where it is, in the mapped file.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from wanvideo.errors import ModelMismatch
from wanvideo.models.config import TextEncoderConfig, TransformerConfig, VAEConfig
from wanvideo.models.text_encoder import UMT5Encoder
from wanvideo.models.transformer import WanTransformer, keeps_fp32
from wanvideo.models.vae import WanVAE
from wanvideo.weights.dequantize import decode
from wanvideo.weights.folder import ModelFolder
from wanvideo.weights.giving_up import go_on_or_give_up
from wanvideo.weights.headers import some
from wanvideo.weights.network import NetworkPart
from wanvideo.weights.quantized import QuantizedEmbedding, QuantizedLinear
from wanvideo.weights.reading import read_tensors
from wanvideo.weights.stored import FLOATS, QUANTISED, Contents, Parameter, has_scale_shape, sort_out
from wanvideo.weights.tokenizer import PromptTokenizer

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
    as_stored: Callable[[str], bool] = lambda _: False,
) -> WanTransformer:
    """A transformer that computes in `dtype`, except with the parameters that `keep_fp32` names.

    Weights that are stored in 8 bits or fewer stay so in memory. So do other parameters that `as_stored` names, which
    need not leave their file then: for who computes something else from them. Raises ModelMismatch if the files hold
    other tensors than the architecture has, ModelCorrupt if they cannot be read, and Cancelled; so do the other two.
    """
    model = _empty(lambda: WanTransformer(part.config))
    dtypes = {name: torch.float32 if keep_fp32(name) else dtype for name in model.state_dict()}
    return _load(model, part, device, dtypes, as_stored)


def load_vae(part: NetworkPart[VAEConfig], *, device: torch.device, dtype: torch.dtype) -> WanVAE:
    model = _empty(lambda: WanVAE(part.config))
    return _load(model, part, device, dict.fromkeys(model.state_dict(), dtype))


def load_text_encoder(part: NetworkPart[TextEncoderConfig], *, device: torch.device, dtype: torch.dtype) -> UMT5Encoder:
    model = _empty(lambda: UMT5Encoder(part.config))
    return _load(model, part, device, dict.fromkeys(model.state_dict(), dtype))


def load_tokenizer(folder: ModelFolder) -> PromptTokenizer:
    """Raises ModelMismatch if the tokenizer knows more tokens than the text encoder."""
    tokenizer = PromptTokenizer.from_path(folder.tokenizer)
    rows = folder.text_encoder.config.vocab_size
    if tokenizer.vocab_size > rows:
        raise ModelMismatch(
            f"{folder.tokenizer} has {tokenizer.vocab_size} tokens, {folder.text_encoder.path} only {rows}: "
            "use one model's"
        )
    return tokenizer


def check_whole(part: NetworkPart[Any]) -> Mapping[str, Parameter]:
    """All parameters by official name, unread. Raises ModelMismatch unless the files hold exactly what is needed."""
    contents = sort_out(part.files, part.layout, part.config)
    match part.config:
        case TransformerConfig() as config:
            _check(_empty(partial(WanTransformer, config)), part, contents)
        case VAEConfig() as config:
            _check(_empty(partial(WanVAE, config)), part, contents)
        case TextEncoderConfig() as config:
            _check(_empty(partial(UMT5Encoder, config)), part, contents)
    return contents.parameters


def _load(
    model: ModuleT,
    part: NetworkPart[Any],
    device: torch.device,
    dtypes: Mapping[str, torch.dtype],
    as_stored: Callable[[str], bool] = lambda _: False,
) -> ModuleT:
    """Fill a model that was built on the meta device; `dtypes` by official name."""
    contents = sort_out(part.files, part.layout, part.config)
    _check(model, part, contents)
    parameters, names = contents.parameters, list(contents.parameters)
    scales = _scales(parameters, device)
    weights: dict[str, Tensor] = {}
    for i, stored in read_tensors([parameters[name].tensor for name in names], device):
        go_on_or_give_up()
        name = names[i]
        parameter, scale, dtype = parameters[name], scales.get(name), dtypes[name]
        if not parameter.is_quantised:
            weights[name] = stored.to(device=device, dtype=None if as_stored(name) else dtype)
        elif _keeps_quantised(model, name, stored, scale, kind=parameter.tensor.info.dtype, dtype=dtype):
            layer = name.removesuffix(".weight")
            weights[f"{layer}.stored"] = stored.to(device)
            if scale is not None:
                weights[f"{layer}.scale"] = scale
        else:
            shape = (-1, *[1] * (len(parameter.tensor.info.shape) - 1))
            along = None if scale is None else scale.reshape(shape)
            weights[name] = decode(stored.to(device), parameter.tensor.info.dtype, along, dtype)
    model.requires_grad_(False)
    model.load_state_dict(weights, strict=True, assign=True)
    return model.eval()


def _scales(parameters: Mapping[str, Parameter], device: torch.device) -> dict[str, Tensor]:
    """By the name of the weight: float32 [rows, 1], or [1, 1] for all rows."""
    scaled = {name: parameter.scale for name, parameter in parameters.items() if parameter.scale is not None}
    names = list(scaled)
    read = read_tensors(list(scaled.values()), torch.device("cpu"))  # small, and not worth a ring of buffers
    return {names[i]: scale.reshape(-1, 1).to(device, torch.float32) for i, scale in read}


def _keeps_quantised(
    model: nn.Module, name: str, stored: Tensor, scale: Tensor | None, *, kind: str, dtype: torch.dtype
) -> bool:
    """Put a layer that keeps its weight as it is stored in the place of one that cannot; False if there is none."""
    layer, _, leaf = name.rpartition(".")
    old = model.get_submodule(layer)
    if leaf != "weight" or not isinstance(old, nn.Linear | nn.Embedding):
        return False
    if isinstance(old, nn.Linear):
        model.set_submodule(layer, QuantizedLinear(stored, scale, old.bias, kind=kind, dtype=dtype))
    else:
        model.set_submodule(layer, QuantizedEmbedding(stored, scale, kind=kind, dtype=dtype))
    return True


def _check(model: nn.Module, part: NetworkPart[Any], contents: Contents) -> None:
    """Raises ModelMismatch unless the files hold what the model has, and nothing is unknown."""
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    stored, keys = contents.parameters, part.layout.keys(part.config)
    known = {name: parameter for name, parameter in stored.items() if name in wanted}
    infos = {name: parameter.tensor.info for name, parameter in known.items()}
    misfits = {
        "unknown": [*contents.unknown, *(p.tensor.info.name for name, p in stored.items() if name not in wanted)],
        "missing": [part.layout.prefix + (keys.to_diffusers(name) or name) for name in wanted if name not in stored],
        "of another shape": [
            f"{info.name} {list(info.shape)} instead of {list(wanted[name])}"
            for name, info in infos.items()
            if info.shape != wanted[name]
        ],
        "of a type that is not read": [
            f"{info.name} {info.dtype}" for info in infos.values() if info.dtype not in FLOATS | QUANTISED
        ],
        "without the right scale": [
            parameter.tensor.info.name for parameter in known.values() if _lacks_scale(parameter)
        ],
    }
    found = [f"{len(tensors)} {kind} ({some(tensors)})" for kind, tensors in misfits.items() if tensors]
    if found:
        where = part.files[0].path if len(part.files) == 1 else part.path
        raise ModelMismatch(
            f"{where} does not hold one whole network of its architecture: tensors {', '.join(found)}. "
            "Get all files of one model",
            facts={"path": str(where)} | {kind: len(tensors) for kind, tensors in misfits.items()},
        )


def _lacks_scale(parameter: Parameter) -> bool:
    """Whole numbers mean nothing without one; float8 may have been cast without."""
    if parameter.scale is None:
        return parameter.tensor.info.dtype == "I8"
    info = parameter.scale.info
    return info.dtype not in FLOATS or not has_scale_shape(info, parameter.tensor.info)
